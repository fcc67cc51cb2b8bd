//! `prepare` as maintainers see it: the real program on a copy of the tree, verified by cargo itself.

use std::collections::BTreeMap;

use expect_test::expect;
use serde_json::Value;
use xtask_testkit::{Ran, Tree, VERSION};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const CHANGELOG: &str = "CHANGELOG.md";
const COMPOSE: &str = "compose/docker-compose.yml";
const FILES: [&str; 5] = [
    CHANGELOG,
    "Cargo.lock",
    "Cargo.toml",
    COMPOSE,
    "docs/pins.md",
];
const NEXT: &str = "# Changelog\n\n## 0.6.0 (unreleased)\n\n- More.\n\n## 0.5.0\n\n- First.\n";

/// A tree whose changelog has a section for the next version, with pinned images of the old version.
fn tree() -> Tree {
    let tree = Tree::whole();
    tree.write(CHANGELOG, NEXT);
    let pinned = format!("polis-init-oss:v{VERSION}@sha256:{}", "0".repeat(64));
    let text = tree.read(COMPOSE);
    let text = text.replace(&format!("polis-init-oss:v{VERSION}"), &pinned);
    tree.write(COMPOSE, &text);
    tree
}

fn prepare(tree: &Tree, more: &[&str]) -> Ran {
    tree.run(XTASK, &[&["prepare"], more].concat())
}

/// All files of the tree with their content.
fn texts(tree: &Tree) -> BTreeMap<String, Vec<u8>> {
    let list = tree.run("find", &[".", "-type", "f"]);
    let paths = list.stdout.lines().map(|path| {
        let bytes = std::fs::read(tree.root().join(path)).expect(path);
        (path.trim_start_matches("./").to_owned(), bytes)
    });
    paths.collect()
}

/// The versions of the workspace crates, as cargo reads them without changing the lock file.
fn versions(tree: &Tree) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let args = ["metadata", "--locked", "--offline", "--format-version=1"];
    let ran = tree.run(cargo, &args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let metadata: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let ours = packages.filter(|package| package["source"].is_null());
    ours.map(|package| package["version"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Otherwise the next version could not be tested before its images are pinned.
#[test]
fn a_waived_image_stays_waived_in_the_next_version() {
    let tree = Tree::whole();
    tree.write(CHANGELOG, NEXT);
    let ran = prepare(&tree, &["0.6.0"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let ran = tree.run(XTASK, &["verify-pins", "--offline"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert!(!ran.stderr.contains("stale-waiver"), "{}", ran.seen());
}

#[test]
fn the_next_version_is_everywhere_and_nothing_else_changes() {
    let tree = tree();
    let before = texts(&tree);
    let check = prepare(&tree, &["0.6.0", "--check"]);
    assert_eq!(check.code, 1, "{}", check.seen());
    assert_eq!(texts(&tree), before);

    let ran = prepare(&tree, &["v0.6.0", "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let data = ran.report()["data"].clone();
    assert_eq!(data["written"], true);
    let after = texts(&tree);
    let changed = after
        .iter()
        .filter(|(path, bytes)| before.get(*path) != Some(bytes));
    let changed: Vec<&str> = changed.map(|(path, _)| path.as_str()).collect();
    assert_eq!((changed, after.len()), (FILES.to_vec(), before.len()));
    assert!(
        check
            .stdout
            .starts_with(data["diff"].as_str().expect("a diff"))
    );

    let versions = versions(&tree);
    assert!(
        versions.len() > 5 && versions.iter().all(|found| found == "0.6.0"),
        "{versions:?}"
    );
    assert_eq!(tree.read(CHANGELOG), NEXT.replace(" (unreleased)", ""));
    let compose = tree.read(COMPOSE);
    let built = compose
        .lines()
        .filter(|line| line.contains("polis-init-oss"));
    assert!(built.clone().count() > 1);
    for line in built {
        assert_eq!(
            line.trim(),
            "image: ghcr.io/odralabshq/polis-init-oss:v0.6.0"
        );
    }

    // Again, with and without the version: nothing is left to do, not even for a digest.
    tree.replace(
        COMPOSE,
        "init-oss:v0.6.0",
        &format!("init-oss:v0.6.0@sha256:{}", "1".repeat(64)),
    );
    tree.run(XTASK, &["docs"]);
    let done = texts(&tree);
    for more in [&["0.6.0"][..], &["0.6.0", "--check"], &[]] {
        let again = prepare(&tree, more);
        assert_eq!(
            again.seen(),
            "exit 0\n--- stdout\nthe tree already has version 0.6.0\n"
        );
    }
    assert_eq!(texts(&tree), done);
}

#[test]
fn the_version_of_the_tree_is_the_default() {
    let tree = Tree::whole();
    tree.replace(CHANGELOG, VERSION, "0.5.0 (unreleased)");
    let ran = prepare(&tree, &[]);
    // Editors may strip the trailing space of an empty line in a diff.
    let seen = ran.seen();
    let lines = seen.lines().filter(|line| !line.trim().is_empty());
    expect![[r#"
        exit 0
        --- stdout
        --- a/CHANGELOG.md
        +++ b/CHANGELOG.md
        @@ -2,3 +2,3 @@
        -## 0.5.0 (unreleased)
        +## 0.5.0
        written to CHANGELOG.md
    "#]]
    .assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

/// Text that people must write is not invented, and nothing changes before it exists.
#[test]
fn a_version_without_a_changelog_section_is_rejected() {
    for (changelog, place) in [
        ("# Changelog\n", "CHANGELOG.md:1:1"),
        (
            "# Changelog\n\n## 0.5.0\n\n- First.\n\n## 0.6.0\n\n- x\n",
            "CHANGELOG.md:3:1",
        ),
        (
            "# Changelog\n\n## 0.6.0 (unreleased)\n\n## 0.5.0\n\n- x\n",
            "CHANGELOG.md:3:1",
        ),
    ] {
        let tree = tree();
        tree.write(CHANGELOG, changelog);
        let before = texts(&tree);
        let ran = prepare(&tree, &["0.6.0"]);
        assert_eq!(ran.code, 1, "{}", ran.seen());
        assert!(ran.stderr.contains(place), "{}", ran.seen());
        assert_eq!(texts(&tree), before);
    }
    let ran = prepare(&tree(), &["next"]);
    assert_eq!(ran.code, 4, "{}", ran.seen());
}
