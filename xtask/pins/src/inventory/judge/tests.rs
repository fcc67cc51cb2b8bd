//! One finding for each way in which pins can be wrong.

use super::*;
use crate::inventory::{FileKind, Files};
use crate::waivers;
use xtask_host::source::Source;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const COMMIT: &str = "de0fac2e4500dabe0009e67214ff5f5447ce83dd";

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// The findings, as `rule path:line`, of a tree with these files and no others that matter.
fn findings(found: Vec<(FileKind, Source)>, waiver: Option<(&str, &str)>) -> Vec<String> {
    let waivers: Vec<_> = waiver.into_iter().collect();
    let findings = judged(found, &waivers).into_iter().map(|finding| {
        let place = finding.place.unwrap();
        format!("{} {}:{}", finding.rule, place.path, place.line)
    });
    findings.collect()
}

/// The findings of a tree with these files, and with waivers for these images until these days.
fn judged(found: Vec<(FileKind, Source)>, waivers: &[(&str, &str)]) -> Vec<Finding> {
    let items: String = waivers
        .iter()
        .map(|(image, expires)| {
            format!("  - {{image: '{image}', reason: r, expires: {expires}}}\n")
        })
        .collect();
    let waivers = match items.as_str() {
        "" => "version: 1\nwaivers: []\n".to_owned(),
        items => format!("version: 1\nwaivers:\n{items}"),
    };
    let cloud_init = include_str!("../../../../../cloud-init/cloud-init.yaml");
    let toolchain = "[toolchain]\nchannel = \"1.95.0\"\n";
    let files = Files {
        found,
        cloud_init: source(crate::pins_env::CLOUD_INIT, cloud_init),
        toolchain: Some(source(crate::inventory::TOOLCHAIN, toolchain)),
        legacy_toolchain: None,
        waivers: source(waivers::PATH, &waivers),
    };
    let inventory = Inventory::extract(&files);
    judge(&inventory, waivers::parse_date("2026-11-01").unwrap())
}

fn judge_one(image: &str, waiver: Option<(&str, &str)>) -> Vec<String> {
    let text = format!("services:\n  a:\n    image: {image}\n");
    findings(vec![(FileKind::Compose, source("c.yml", &text))], waiver)
}

#[test]
fn every_state_of_an_image_has_its_rule() {
    let pinned = format!("v.example/a:v1@sha256:{HEX}");
    let bare = "v.example/a:v1";
    let waived = Some((bare, "2026-11-01"));
    for (image, waiver, expected) in [
        (pinned.as_str(), None, &[][..]),
        (bare, None, &["unpinned-image c.yml:3"]),
        (bare, waived, &["waived-image c.yml:3"]),
        (
            bare,
            Some((bare, "2026-10-31")),
            &["expired-waiver compose/pin-waivers.yaml:3"],
        ),
        (
            bare,
            Some(("v.example/a:v2", "2027-01-01")),
            &[
                "unpinned-image c.yml:3",
                "stale-waiver compose/pin-waivers.yaml:3",
            ],
        ),
        (
            &pinned,
            waived,
            &["stale-waiver compose/pin-waivers.yaml:3"],
        ),
        (
            "v.example/a:latest",
            None,
            &["image-tag c.yml:3", "unpinned-image c.yml:3"],
        ),
        (
            &format!("v.example/a@sha256:{HEX}"),
            None,
            &["image-tag c.yml:3"],
        ),
        (
            "v.example/a:v1@sha256:00",
            None,
            &["image-reference c.yml:3"],
        ),
        ("a:v1", None, &["image-reference c.yml:3"]),
        ("[x]", None, &["image-reference c.yml:3"]),
    ] {
        assert_eq!(judge_one(image, waiver), expected, "{image}");
    }
    for (path, expected) in [
        (
            crate::compose::PATH,
            &["image-missing compose/docker-compose.yml:2"][..],
        ),
        ("compose.override.yml", &[]),
    ] {
        let none = source(path, "services:\n  a: {}\n");
        assert_eq!(findings(vec![(FileKind::Compose, none)], None), expected);
    }
}

#[test]
fn a_minority_is_reported_and_a_tie_reports_all_places() {
    let digest = |digit: char| HEX.replacen('e', &digit.to_string(), 1);
    let image = |digit| format!("v.example/a:v1@sha256:{}", digest(digit));
    let compose = |digits: &str| {
        let mut text = "services:\n".to_owned();
        for (at, digit) in digits.chars().enumerate() {
            text.push_str(&format!("  s{at}: {{image: '{}'}}\n", image(digit)));
        }
        (FileKind::Compose, source("c.yml", &text))
    };
    assert_eq!(
        findings(vec![compose("eae")], None),
        ["pins-disagree c.yml:3"]
    );
    assert_eq!(
        findings(vec![compose("ae")], None),
        ["pins-disagree c.yml:2", "pins-disagree c.yml:3"]
    );
    let dockerfile = format!("FROM {}\n", image('a'));
    let dockerfile = (FileKind::Dockerfile, source("Dockerfile", &dockerfile));
    assert_eq!(
        findings(vec![compose("ee"), dockerfile], None),
        ["pins-disagree Dockerfile:1"]
    );
}

#[test]
fn actions_and_toolchains_agree_across_files() {
    let workflow = |path: &str, commit: &str, tag: &str| {
        let text = format!("jobs: {{a: {{steps: [\n  {{uses: o/r@{commit}}} # {tag}\n]}}}}\n");
        (FileKind::Workflow, source(path, &text))
    };
    let other = COMMIT.replace('d', "e");
    let rest = || {
        [
            workflow("a.yml", COMMIT, "v1.0.0"),
            workflow("b.yml", COMMIT, "v1.0.0"),
        ]
    };
    for (commit, tag, expected) in [
        (COMMIT, "v1.0.0", &[][..]),
        (&other, "v1.0.0", &["pins-disagree c.yml:2"]),
        (COMMIT, "v1.0.1", &["pins-disagree c.yml:2"]),
    ] {
        let mut files = rest().to_vec();
        files.push(workflow("c.yml", commit, tag));
        assert_eq!(findings(files, None), expected);
    }
    let manifest = source("Cargo.toml", "[package]\nrust-version = \"1.95.1\"\n");
    assert_eq!(
        findings(vec![(FileKind::Manifest, manifest)], None),
        [
            "pins-disagree rust-toolchain.toml:2",
            "pins-disagree Cargo.toml:2"
        ]
    );
}

#[test]
fn every_way_to_pin_an_action_or_a_toolchain_wrongly_has_its_rule() {
    let upper = COMMIT.to_uppercase();
    for (uses, rule) in [
        ("o/r@main # v1.0.0", "unpinned-action"),
        ("o/r@v1 # v1.0.0", "unpinned-action"),
        ("o/r # v1.0.0", "unpinned-action"),
        ("o/r@de0fac2 # v1.0.0", "action-commit"),
        (&format!("o/r@{upper} # v1.0.0"), "action-commit"),
        (&format!("o/r@{COMMIT}0 # v1.0.0"), "action-commit"),
        (&format!("o/r@{COMMIT}"), "action-tag"),
        (&format!("o/r@{COMMIT} # v1"), "action-tag"),
        (&format!("o/r@{COMMIT} # main"), "action-tag"),
    ] {
        let text = format!("jobs:\n  a:\n    steps:\n      - uses: {uses}\n");
        let file = (FileKind::Workflow, source("w.yml", &text));
        assert_eq!(
            findings(vec![file], None),
            [format!("{rule} w.yml:4")],
            "{uses}"
        );
    }
    for version in ["1.95", "stable", "nightly-2026-01-01", "$V"] {
        let text = format!("# x\nFROM scratch\nRUN rustup default {version}\n");
        let file = (FileKind::Dockerfile, source("Dockerfile", &text));
        assert_eq!(
            findings(vec![file], None),
            ["toolchain Dockerfile:3"],
            "{version}"
        );
    }
}

/// A build argument of a compose file replaces the default of an `ARG`.
#[test]
fn the_image_in_a_build_argument_is_a_pin() {
    let pin = format!("v.example/a:v1@sha256:{HEX}");
    let base = format!("v.example/base:v1@sha256:{HEX}");
    let files = |args: &str| {
        let compose =
            format!("services:\n  a:\n    image: {pin}\n    build: {{context: ., args: {args}}}\n");
        let dockerfile = format!("ARG BASE={base}\nFROM ${{BASE}}\n");
        vec![
            (FileKind::Compose, source("c.yml", &compose)),
            (FileKind::Dockerfile, source("Dockerfile", &dockerfile)),
        ]
    };
    for (args, expected) in [
        ("{OTHER: 'v.example/base:v2'}", &[][..]),
        (&format!("{{BASE: '{base}'}}"), &[]),
        (&format!("['BASE={base}']"), &[]),
        ("{BASE: 'v.example/base:v2'}", &["unpinned-image c.yml:4"]),
        ("['BASE=v.example/base:v2']", &["unpinned-image c.yml:4"]),
        (
            "{BASE: 'v.example/base:${V}'}",
            &["image-reference c.yml:4"],
        ),
        ("[BASE]", &["image-reference c.yml:1"]),
    ] {
        assert_eq!(findings(files(args), None), expected, "{args}");
    }
}

#[test]
fn a_dockerfile_that_no_reader_finds_is_reported() {
    let text = format!(
        "services:\n  a:\n    image: v.example/a:v1@sha256:{HEX}\n    build: {{context: x, dockerfile: build.txt}}\n"
    );
    let files = vec![(FileKind::Compose, source("c.yml", &text))];
    assert_eq!(findings(files, None), ["dockerfile c.yml:3"]);
}

#[test]
fn waived_images_with_one_reason_and_date_are_one_warning() {
    let text = "services:\n  a: {image: 'v.example/a:v1'}\n  b: {image: 'v.example/b:v1'}\n  c: {image: 'v.example/c:v1'}\n";
    let dockerfile = source("Dockerfile", "FROM v.example/b:v1\n");
    let files = vec![
        (FileKind::Compose, source("c.yml", text)),
        (FileKind::Dockerfile, dockerfile),
    ];
    let waivers = [
        ("v.example/a:v1", "2027-01-01"),
        ("v.example/b:v1", "2027-01-01"),
        ("v.example/c:v1", "2027-02-01"),
    ];
    let found = judged(files, &waivers);
    let shown: Vec<_> = found
        .iter()
        .map(|finding| (finding.message.as_str(), finding.help.as_deref().unwrap()))
        .collect();
    let expected = [
        (
            "2 images are not pinned, waived until 2027-01-01: r",
            "`cargo xtask pin` pins Dockerfile:1 and c.yml:2, 3",
        ),
        (
            "`v.example/c:v1` is not pinned, waived until 2027-02-01: r",
            "`cargo xtask pin` pins c.yml:4",
        ),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn findings_name_the_other_place_and_the_next_command() {
    let image = |tag: &str| format!("v.example/a:{tag}@sha256:{HEX}");
    let text = format!(
        "services:\n  a: {{image: '{}'}}\n  b: {{image: '{}'}}\n",
        image("v1"),
        image("v2")
    );
    let found = judged(vec![(FileKind::Compose, source("c.yml", &text))], &[]);
    assert_eq!(
        found[0].message,
        "the tag of `v.example/a` is `v1` here and `v2` in c.yml:3"
    );
    let help = found[0].help.as_deref().unwrap();
    assert!(help.contains("`cargo xtask pin`"), "{help}");

    let text = "services:\n  a: {image: 'v.example/a:v1'}\n";
    let found = judged(vec![(FileKind::Compose, source("c.yml", text))], &[]);
    assert_eq!(
        found[0].help.as_deref(),
        Some("run `cargo xtask pin`, which appends the digest to the tag")
    );
}
