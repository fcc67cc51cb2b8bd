//! Properties of the project itself that nobody should have to remember.

use std::collections::BTreeSet;

use xtask_testkit::repository;

/// RELEASE_TARGETS and the matrix of the build workflow name the same targets.
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
