//! No test depends on the state of the tree: tests that read it pass on a tree in every state.
//!
//! This runs the fast ones. `xtask/online/tests/ready` runs more of them on a tree that is ready for a release.

use xtask_testkit::Variant;
use xtask_testkit::programs::{self, Chosen};

const CHOSEN: [Chosen; 7] = [
    all("xtask", "offline"),
    all("xtask", "reports"),
    all("xtask", "tidy"),
    Chosen {
        package: "xtask/check",
        name: "check",
        filters: &[
            "a_finding_shows",
            "the_tree_is_fine",
            "versions_and_waivers_are_checked",
        ],
    },
    all("xtask/dist", "dist"),
    all("xtask/dist", "tidy"),
    Chosen {
        package: "xtask/online",
        name: "it",
        filters: &[
            "reports::",
            "states::everything_is_fine",
            "states::deleted_content_is_gone",
            "update::actions_move",
        ],
    },
];

const fn all(package: &'static str, name: &'static str) -> Chosen {
    Chosen {
        package,
        name,
        filters: &[],
    }
}

#[test]
fn tests_pass_in_every_state_of_the_tree() {
    let programs = programs::find(&CHOSEN);
    for variant in Variant::ALL {
        println!("{variant:?}");
        let tree = variant.make();
        for line in programs::run_all(&CHOSEN, &programs, tree.root()) {
            println!("{line}");
        }
    }
}
