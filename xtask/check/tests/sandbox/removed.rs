//! Each key of the shipped file removed: a missing key takes its default, which can be the more dangerous value.

use std::collections::BTreeSet;

use xtask_check::stack;
use xtask_pins::yaml::Node;

use crate::edits::{remove, shipped};

/// The keys of services and networks that may be removed, and why that gives no power.
const FREE_TO_REMOVE: &[(&str, &str)] = &[
    ("services build", "the image is pulled then"),
    ("services cap_add", "takes away"),
    ("services container_name", "Docker makes one up"),
    ("services depends_on", "an order"),
    (
        "services environment",
        "the program has defaults, and misses what has none",
    ),
    ("services hostname", "Docker makes one up"),
    ("services image", "the rules on pins check it"),
    ("services init", "the container is killed after ten seconds"),
    (
        "services read_only",
        "of the workspace, which says `false`; elsewhere it is the rule `read-only`",
    ),
    (
        "services restart",
        "of what ends; elsewhere it is the rule `restart`",
    ),
    ("services secrets", "takes away"),
    (
        "services stop_signal",
        "the container is killed after ten seconds",
    ),
    (
        "services tmpfs",
        "what the image has there, read-only; the closed folders of the workspace are demanded",
    ),
    ("services ulimits", "Docker's own limits"),
    ("services volumes", "takes away"),
];

#[test]
fn no_restricting_key_can_be_removed() {
    let shipped = shipped();
    let mut unnoticed = BTreeSet::new();
    for section in ["services", "networks"] {
        for (name, member) in shipped.root.get(section).map_or(&[][..], Node::entries) {
            let name = name.text().expect("a name");
            for key in member.entries().iter().filter_map(|(key, _)| key.text()) {
                let mut compose = self::shipped();
                remove(&mut compose.root, &format!("{section}/{name}/{key}"));
                if stack::check(&compose, &|_| true).is_empty() {
                    unnoticed.insert(format!("{section} {key}"));
                }
            }
        }
    }
    let listed = FREE_TO_REMOVE
        .iter()
        .map(|(key, _)| (*key).to_owned())
        .collect();
    assert_eq!(unnoticed, listed);
}
