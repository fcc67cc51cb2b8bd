//! No secret of the environment reaches the children of online verbs, except what a credential helper needs.

use std::fs;

use xtask_host::secrets;
use xtask_testkit::{Canary, Tree};

use crate::support::test_env::TestEnv;

const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask-online");

fn canary() -> Canary {
    Canary::new(secrets::READ.into_iter().chain(secrets::UNUSED))
}

#[test]
fn no_secret_reaches_the_children_of_a_release() {
    let tree = Tree::data();
    let canary = canary().watching(&["git", "cargo", "rustc"]);
    let prebuilt = tree.root().to_str().expect("a path in UTF-8");
    let args = ["release", "--execute", "--prebuilt", prebuilt];
    let ran = canary.run(&tree, PROGRAM, &args, &[]);
    // A copy of the tree is not a checkout, so git fails and nothing changes.
    assert_ne!(ran.code, 0, "{}", ran.seen());
    canary.assert_unseen(&ran, &["git "]);
}

#[test]
fn a_credential_helper_gets_its_variables_and_no_secret_of_ours() {
    let test_env = TestEnv::start();
    let docker = tempfile::tempdir().expect("a directory");
    let config = r#"{"credHelpers": {"ghcr.io": "ours"}}"#;
    fs::write(docker.path().join("config.json"), config).expect("a file");
    let canary = canary().replacing(
        "docker-credential-ours",
        r#"test "$AWS_SECRET_ACCESS_KEY" = aws && echo '{"Username": "u", "Secret": "s"}'"#,
    );
    let ours = canary.env();
    let ours = ours.iter().map(|(name, value)| (*name, value.as_str()));
    // A login in our own variables would take precedence over Docker's.
    let more = [
        (secrets::REGISTRY_PASSWORD, ""),
        ("AWS_SECRET_ACCESS_KEY", "aws"),
        ("DOCKER_CONFIG", docker.path().to_str().expect("UTF-8")),
    ];
    let env: Vec<_> = ours.chain(more).collect();
    let ran = test_env.run_with(&["verify-pins"], &env);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    canary.assert_unseen(&ran, &["docker-credential-ours get"]);
}
