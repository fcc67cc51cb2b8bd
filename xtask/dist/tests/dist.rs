//! The verb `dist` as users see it: the real program on a copy of the tree.

use expect_test::expect;
use xtask_testkit::Tree;

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");

#[test]
fn a_release_is_not_made_without_its_key() {
    let tree = Tree::data();
    expect![[r#"
        exit 3
        --- stderr
        error: `POLIS_MINISIGN_SECRET_KEY` is not set
          because: a release without a signature is no release
          next: put the text of the minisign secret key file into `POLIS_MINISIGN_SECRET_KEY` and its password into `POLIS_MINISIGN_PASSWORD`
    "#]].assert_eq(&tree.run(DIST, &["dist"]).seen());
    let secret = "untrusted comment: x\nbm90IGEga2V5";
    let ran = tree.run_with(
        DIST,
        &["dist", "--format", "json"],
        &[("POLIS_MINISIGN_SECRET_KEY", secret)],
    );
    assert_eq!(ran.code, 3);
    ran.report();
    assert!(!ran.seen().contains("bm90IGEga2V5"), "{}", ran.seen());
}
