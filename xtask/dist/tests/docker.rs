//! Docker itself builds the Dockerfile that we assemble without it, and runs the result.

use xtask_testkit::{Tree, VERSION};

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");

#[test]
fn docker_builds_polis_init_too() {
    let tree = Tree::whole();
    let docker = |args: &[&str]| tree.run_with("docker", args, &[("DOCKER_BUILDKIT", "1")]);
    if tree
        .run("sh", &["-c", "docker info && docker buildx version"])
        .code
        != 0
    {
        println!("skipped: no Docker engine with buildx runs here");
        return;
    }
    let built = tree.run(DIST, &["images", "build", "--format", "json"]);
    assert_eq!(built.code, 0, "{}", built.seen());
    let context = tree.root().join("services/init");
    let context = context.to_str().expect("a path in UTF-8");
    let built = docker(&[
        "build",
        "--quiet",
        "--tag",
        "polis-init-test:docker",
        context,
    ]);
    assert_eq!(built.code, 0, "{}", built.seen());
    let ran = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--read-only",
        "polis-init-test:docker",
        "--version",
    ]);
    docker(&["rmi", "--force", "polis-init-test:docker"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, format!("polis-init {VERSION}\n").as_str()),
        "{}",
        ran.seen()
    );
}
