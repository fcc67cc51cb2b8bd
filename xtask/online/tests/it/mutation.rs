//! No pin can be altered unnoticed: every occurrence of every pin of this repository is changed, one at a time, and
//! `verify-pins` must fail with that file and line.
//!
//! Offline where possible. Changes that the files alone cannot reveal, such as another well-formed digest, are verified
//! by servers that serve what the tree pins.

use std::collections::{BTreeMap, BTreeSet};

use xtask_host::finding::Severity;
use xtask_host::workspace::Workspace;
use xtask_pins::edit::Location;
use xtask_pins::inventory::{Field, Inventory};
use xtask_pins::verify_pins::{self, VerifyPinsArgs};

use crate::support::test_env::TestEnv;

/// Alterations of a text, by name.
fn mutants(field: Field, text: &str) -> Vec<(&'static str, String)> {
    match field {
        Field::Reference => {
            let (name, digest) = text.split_once("@sha256:").expect("a digest");
            vec![
                ("digest", format!("{name}@sha256:{}", first_digit(digest))),
                ("tag", format!("{}@sha256:{digest}", last_digit(name))),
            ]
        }
        Field::Checksum | Field::Fingerprint | Field::Commit => vec![("digit", first_digit(text))],
        Field::Version | Field::Channel | Field::Tag => vec![("version", last_digit(text))],
        Field::Url => {
            let at = text.rfind('/').expect("a path");
            vec![("path", format!("{}x{}", &text[..at], &text[at..]))]
        }
    }
}

/// `text` with its first hexadecimal digit changed.
fn first_digit(text: &str) -> String {
    let other = if text.starts_with('0') { '1' } else { '0' };
    format!("{other}{}", &text[1..])
}

/// `text` with its last digit changed.
fn last_digit(text: &str) -> String {
    let at = text.rfind(|c: char| c.is_ascii_digit()).expect("a digit");
    let other = if text[at..].starts_with('7') {
        '8'
    } else {
        '7'
    };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

fn alter(test_env: &TestEnv, at: &Location, text: &str) -> String {
    let path = &at.place.path;
    let before = test_env.tree.read(path);
    let after = [&before[..at.span.start], text, &before[at.span.end..]].concat();
    test_env.tree.write(path, &after);
    before
}

/// The errors from the files alone, as `path:line`.
fn offline(test_env: &TestEnv) -> Vec<String> {
    let root = test_env.tree.root().to_owned();
    let workspace = Workspace {
        target: root.join("target"),
        root,
    };
    let args = VerifyPinsArgs {
        offline: true,
        signatures: false,
        today: Some("2026-11-01".to_owned()),
    };
    let report = verify_pins::run(&workspace, &args).expect("a report");
    let errors = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let places = errors.filter_map(|finding| finding.place.as_ref());
    places
        .map(|place| format!("{}:{}", place.path, place.line))
        .collect()
}

/// The errors of the real program with the servers, as `path:line`.
fn online(test_env: &TestEnv) -> Vec<String> {
    let ran = test_env.run(&["verify-pins", "--format", "json"]);
    assert_ne!(ran.code, 0, "{}", ran.seen());
    let findings = ran.findings().into_iter();
    findings
        .map(|finding| finding.split_once(' ').expect("a rule").1.to_owned())
        .collect()
}

#[test]
fn no_pin_of_the_tree_can_be_altered_unnoticed() {
    let test_env = TestEnv::start();
    let inventory = Inventory::read(test_env.tree.root()).expect("pins");
    assert_eq!(offline(&test_env), [""; 0]);
    let whole = test_env.run(&["verify-pins"]);
    assert_eq!(whole.code, 0, "{}", whole.seen());

    let mut shown: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut unnoticed = Vec::new();
    for pin in &inventory.pins {
        for found in &pin.occurrences {
            let place = &found.at.place;
            let old = test_env.tree.read(&place.path)[found.at.span.clone()].to_owned();
            let here = format!("{}:{}", place.path, place.line);
            for (class, new) in mutants(found.field, &old) {
                let before = alter(&test_env, &found.at, &new);
                let by = match () {
                    () if offline(&test_env).contains(&here) => "offline",
                    () if online(&test_env).contains(&here) => "online",
                    () => {
                        unnoticed.push(format!("{here}: {old} -> {new}"));
                        "by nothing"
                    }
                };
                let class = format!("{} {}, {class}", pin.kind(), found.field.word());
                shown.entry(class).or_default().insert(by);
                test_env.tree.write(&place.path, &before);
            }
        }
    }
    assert_eq!(unnoticed, [""; 0]);
    // The number of places depends on the tree. But each kind must have some, and contradictions must be found offline.
    for (class, by) in [
        ("action commit, digit", None),
        ("action tag, version", None),
        ("download checksum, digit", Some("online")),
        ("download url, path", Some("offline")),
        ("download version, version", Some("offline")),
        ("image reference, digest", None),
        ("image reference, tag", None),
        ("key fingerprint, digit", Some("online")),
        ("key url, path", Some("offline")),
        ("toolchain channel, version", Some("offline")),
    ] {
        let found = shown.remove(class).unwrap_or_default();
        let expected = found.iter().all(|found| by.is_none_or(|by| *found == by));
        assert!(expected && !found.is_empty(), "{class}: {found:?}");
    }
    assert!(shown.is_empty(), "{shown:?}");
}
