//! No secret of the environment reaches what `dist` starts: not git, not cargo, not the compiler,
//! no build script, no procedural macro.
#![cfg(target_os = "linux")]

use minisign::KeyPair;
use xtask::secrets;
use xtask_testkit::{Canary, Tree};

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");

#[test]
fn a_signed_release_is_built_by_children_that_know_no_secret() {
    let (tree, key) = (Tree::data(), KeyPair::generate_unencrypted_keypair());
    let key = key.expect("a key").sk.to_box(None).expect("a key file");
    let names = secrets::READ.into_iter().chain(secrets::UNUSED);
    let canary = Canary::new(names)
        .with(secrets::SIGNING_KEY, &key.into_string())
        .watching(&["cargo", "rustc", "git"]);
    canary.small_crates(&tree, "1.2.3");
    let args = ["dist", "--format", "json"];
    // A key without a password; the other secrets stay.
    let ran = canary.run(&tree, DIST, &args, &[(secrets::SIGNING_PASSWORD, "")]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(ran.report()["data"]["signing_key_protected"], false);
    let started = ["cargo build", "rustc", "build script", "procedural macro"];
    canary.assert_unseen(&ran, &started);
    assert!(
        ran.stderr.contains("the signing key has no password"),
        "{}",
        ran.seen()
    );
}
