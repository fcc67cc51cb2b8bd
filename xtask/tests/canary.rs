//! No secret of the environment reaches the build of programs of other packages. They get those that they may need only
//! when they run.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use xtask_host::secrets;
use xtask_testkit::{Canary, Tree};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

fn canary() -> Canary {
    Canary::new(secrets::READ.into_iter().chain(secrets::UNUSED))
}

/// The fake program prints how many secrets reached it, and how many of them are for signing.
#[test]
fn a_delegated_program_is_built_without_secrets_and_gets_its_own() {
    let tree = Tree::data();
    tree.write(
        "delegated",
        "#!/bin/sh\nenv | grep -c =canary-poli; env | grep -c =canary-g; exit 7\n",
    );
    let program = tree.root().join("delegated");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    for (verb, package, got) in [
        ("check", "xtask-check", "0\n0\n"),
        ("dist", "xtask-dist", "2\n0\n"),
        ("drift", "xtask-online", "4\n1\n"),
    ] {
        let target = format!(r#""target":{{"name":"{package}","kind":["bin"]}}"#);
        let built = format!(r#"{{{target},"executable":"{}"}}"#, program.display());
        let canary = canary().replacing("cargo", &format!("echo '{built}'"));
        let ran = canary.run(&tree, XTASK, &["--quiet", verb], &[]);
        let (code, stdout) = (ran.code, ran.stdout.as_str());
        assert_eq!((code, stdout), (7, got), "{}", ran.seen());
        let build = format!("cargo build --quiet --locked --package {package} ");
        canary.assert_unseen(&ran, &[&build]);
    }
}

#[test]
fn a_failed_build_is_a_machine_error() {
    let tree = Tree::data();
    let canary = canary().replacing("cargo", "echo 'error: no' >&2; exit 101");
    let ran = canary.run(&tree, XTASK, &["--quiet", "check"], &[]);
    assert_eq!(ran.code, 5, "{}", ran.seen());
    assert!(ran.stderr.ends_with("error: no\n"), "{}", ran.seen());
    let warning =
        "note: cargo and everything that it compiled for this command could read the signing key";
    assert!(ran.stderr.contains(warning), "{}", ran.seen());
}
