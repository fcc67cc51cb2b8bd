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
