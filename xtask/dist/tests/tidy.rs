//! Properties of the project itself that nobody should have to remember.

use std::collections::BTreeSet;

use xtask_testkit::repository;

/// RELEASE_TARGETS and the matrix of the release workflow name the same targets.
#[test]
fn the_release_workflow_builds_every_target() {
    let workflow = repository().join(".github/workflows/release.yml");
    let workflow = std::fs::read_to_string(workflow).expect("the release workflow");
    let built: BTreeSet<&str> = workflow
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- target: "))
        .collect();
    assert_eq!(built, BTreeSet::from(xtask_dist::RELEASE_TARGETS));
}
