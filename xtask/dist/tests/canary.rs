//! No secret of the environment reaches the children of `dist` and `images build`: git, cargo, the compiler, build
//! scripts, procedural macros.
#![cfg(target_os = "linux")]

use minisign::KeyPair;
use xtask_host::secrets;
use xtask_testkit::{Canary, Tree, repository};

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");

fn canary() -> Canary {
    Canary::new(secrets::READ.into_iter().chain(secrets::UNUSED))
}

#[test]
fn no_secret_reaches_the_build_of_images() {
    let tree = Tree::data();
    let canary = canary().watching(&["cargo", "rustc"]);
    canary.small_crates(&tree, "1.2.3");
    let ran = canary.run(&tree, DIST, &["images", "build"], &[]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let started = ["cargo build", "rustc", "build script", "procedural macro"];
    canary.assert_unseen(&ran, &started);
}

#[test]
fn no_secret_reaches_docker() {
    let tree = Tree::data();
    let canary = canary()
        .watching(&["cargo", "rustc"])
        .replacing("docker", "[ \"$2\" = version ]");
    canary.small_crates(&tree, "1.2.3");
    tree.write("services/init/Dockerfile", "FROM debian:12\nRUN true\n");
    let ran = canary.run(&tree, DIST, &["images", "build"], &[]);
    assert_eq!(ran.code, 5, "{}", ran.seen());
    canary.assert_unseen(&ran, &["docker buildx version", "docker buildx build"]);
}

#[test]
fn no_secret_reaches_the_build_of_signed_files() {
    let (tree, pair) = (Tree::data(), KeyPair::generate_unencrypted_keypair());
    let pair = pair.expect("a key");
    let key = pair.sk.to_box(None).expect("a key file");
    let canary = canary()
        .with(secrets::SIGNING_KEY, &key.into_string())
        .watching(&["cargo", "rustc", "git"]);
    canary.small_crates(&tree, "1.2.3");
    pin_images(&tree);
    let public = pair.pk.to_box().expect("a public key").into_string();
    tree.write("minisign.pub", &public);
    let license = std::fs::read_to_string(repository().join("LICENSE"));
    tree.write("LICENSE", &license.expect("the licence"));
    let user = [
        "-c",
        "user.name=tests",
        "-c",
        "user.email=tests@polis.invalid",
    ];
    for args in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--message", "A tree"],
    ] {
        let ran = tree.run("git", &[&user[..], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.seen());
    }
    let args = ["dist", "--format", "json"];
    // A key without a password; the other secrets stay set.
    let ran = canary.run(&tree, DIST, &args, &[(secrets::SIGNING_PASSWORD, "")]);
    // Everything was built and started. The result is not the CLI, so it is rejected.
    let error = ran.report()["error"]["message"].clone();
    assert_eq!(
        error,
        "the CLI archives cannot be released",
        "{}",
        ran.seen()
    );
    let started = ["cargo build", "rustc", "build script", "procedural macro"];
    canary.assert_unseen(&ran, &started);
    assert!(
        ran.stderr.contains("the signing key has no password"),
        "{}",
        ran.seen()
    );
}

/// Pins the images of `tree` to a well-formed digest that exists nowhere.
fn pin_images(tree: &Tree) {
    const COMPOSE: &str = "compose/docker-compose.yml";
    let digest = format!("@sha256:{}", "0123456789abcdef".repeat(4));
    let pinned = tree
        .read(COMPOSE)
        .lines()
        .map(|line| {
            let image = line.trim_start().starts_with("image: ") && !line.contains('@');
            format!("{line}{}\n", if image { digest.as_str() } else { "" })
        })
        .collect::<String>();
    tree.write(COMPOSE, &pinned);
}
