//! Properties of the repository that are easy to forget.

use std::collections::BTreeSet;

use xtask_testkit::repository;

/// RELEASE_TARGETS and the matrix of the build workflow list the same targets.
#[test]
fn the_workflows_build_every_target() {
    let workflow = repository().join(".github/workflows/build.yml");
    let workflow = std::fs::read_to_string(workflow).expect("the build workflow");
    let built: BTreeSet<&str> = workflow
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- target: "))
        .collect();
    assert_eq!(built, BTreeSet::from(xtask_dist::RELEASE_TARGETS));
}

/// All packages are under one licence, whose text is at the top of the tree.
#[test]
fn every_package_is_under_the_licence_of_the_tree() {
    let manifest = repository().join("Cargo.toml");
    let metadata = xtask_testkit::Tree::data().run(
        std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()),
        &[
            "metadata",
            "--no-deps",
            "--locked",
            "--format-version",
            "1",
            "--manifest-path",
            manifest.to_str().expect("a path in UTF-8"),
        ],
    );
    let metadata = cargo_metadata::MetadataCommand::parse(&metadata.stdout);
    let packages = metadata.expect("what cargo says").packages;
    assert!(packages.len() > 10);
    for package in packages {
        assert_eq!(
            package.license.as_deref(),
            Some("Apache-2.0"),
            "{}",
            package.name
        );
    }
    let words = |text: &str| {
        let words = text.split_whitespace();
        words.map(str::to_owned).collect::<Vec<String>>()
    };
    let text = std::fs::read_to_string(repository().join("LICENSE")).expect("LICENSE");
    let standard = spdx::license_id("Apache-2.0").expect("a licence").text();
    // The standard text does not say where the appendix's heading goes; only the terms count.
    let terms = |text: &str| {
        words(
            text.split("END OF TERMS AND CONDITIONS")
                .next()
                .unwrap_or(""),
        )
    };
    assert!(terms(&text).len() > 1000);
    assert_eq!(terms(&text), terms(standard));
}
