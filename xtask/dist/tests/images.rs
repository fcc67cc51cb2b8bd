//! `images build` on trees whose Dockerfiles cannot be built.

use xtask_testkit::Tree;

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");

#[test]
fn a_failed_build_says_why() {
    let tree = Tree::data();
    std::fs::remove_file(tree.root().join("services/init/Dockerfile")).expect("a Dockerfile");
    let ran = tree.run(DIST, &["images", "build"]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stderr.contains("services/init/Dockerfile` is missing"),
        "{}",
        ran.seen()
    );

    tree.write(
        "services/init/Dockerfile",
        "FROM scratch\nCOPY bin/${TARGETARCH}/polis-init /polis-init\n",
    );
    let ran = tree.run(DIST, &["images", "build"]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stderr.contains("services/init/Dockerfile:2:1"),
        "{}",
        ran.seen()
    );
}

/// Images that are not `FROM scratch` go to Docker; a fake one shows the arguments.
#[cfg(unix)]
#[test]
fn another_dockerfile_goes_to_buildx() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::data();
    tree.write("services/init/Dockerfile", "FROM debian:12\nRUN true\n");
    tree.write(
        "docker",
        "#!/bin/sh\n[ \"$2\" != version ] || exec cat \"$HOME/plugin\"\n\
         echo \"$@\" >\"$HOME/docker-args\"\necho 'no engine' >&2\nexit 1\n",
    );
    let docker = tree.root().join("docker");
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", tree.root().display());
    let build = || tree.run_with(DIST, &["images", "build"], &[("PATH", &path)]);
    let ran = build();
    assert_eq!(ran.code, 5, "{}", ran.seen());
    assert!(
        ran.stderr.contains("`docker buildx` is not installed"),
        "{}",
        ran.seen()
    );
    assert!(!tree.root().join("docker-args").exists());
    tree.write("plugin", "v0.29.1\n");
    let ran = build();
    assert_eq!(ran.code, 5, "{}", ran.seen());
    assert!(
        ran.stderr.contains("no engine") && ran.stderr.contains("FROM debian:12"),
        "{}",
        ran.seen()
    );
    let words = tree.read("docker-args");
    assert!(
        words.starts_with("buildx build --platform linux/amd64,linux/arm64 "),
        "{words}"
    );
}
