//! The workflows, as zizmor and actionlint judge them. There are no exceptions; one would be written
//! here, with its reason.

use std::fs;

use xtask_testkit::{Tree, has_part};

const BUILD: &str = ".github/workflows/build.yml";

fn zizmor(tree: &Tree) -> xtask_testkit::Ran {
    let args = [
        "--offline",
        "--no-progress",
        "--persona",
        "auditor",
        ".github",
    ];
    tree.run("zizmor", &args)
}

/// With shellcheck on `PATH`, it judges the scripts too.
fn actionlint(tree: &Tree) -> xtask_testkit::Ran {
    let dir = tree.root().join(".github/workflows");
    let entries = fs::read_dir(dir).expect("the workflows");
    let paths = entries.map(|entry| entry.expect("an entry").path().display().to_string());
    let paths: Vec<String> = paths.collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    tree.run("actionlint", &paths)
}

#[test]
fn zizmor_finds_nothing_in_the_workflows() {
    if !has_part("zizmor") {
        return;
    }
    let tree = Tree::data();
    let ran = zizmor(&tree);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    // It looks: a checkout that leaves its token, a script with what others wrote in it.
    tree.replace(
        BUILD,
        "persist-credentials: false",
        "persist-credentials: true",
    );
    tree.replace(
        BUILD,
        "cargo build",
        "echo ${{ github.event.issue.title }}; cargo build",
    );
    let ran = zizmor(&tree);
    assert_ne!(ran.code, 0, "{}", ran.seen());
    for rule in ["artipacked", "template-injection"] {
        assert!(ran.stdout.contains(rule), "{}", ran.seen());
    }
}

#[test]
fn actionlint_finds_nothing_in_the_workflows() {
    if !has_part("actionlint") {
        return;
    }
    let tree = Tree::data();
    let ran = actionlint(&tree);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    tree.replace(
        BUILD,
        "needs.assemble.outputs.sums",
        "needs.assemble.outputs.sum",
    );
    let ran = actionlint(&tree);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(
        ran.stdout.contains("\"sum\" is not defined"),
        "{}",
        ran.seen()
    );
}
