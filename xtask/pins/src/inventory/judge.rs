//! What the files alone can tell about the pins: everything is pinned, and agrees.

use std::collections::BTreeMap;

use super::model::{Action, CommitError, Part, Pin, What, is_release, is_version};
use super::{Inventory, Use};
use crate::date::Date;
use crate::waivers::Waiver;
use polis_base::ImageRef;
use xtask_host::finding::{Finding, any_error};

/// Judges the pins of the tree on the day `today`.
///
/// Returns every finding: those of reading the files, images without a digest or a waiver,
/// waivers that ended or that nothing needs, `latest`, and values for one thing that disagree.
pub fn judge(inventory: &Inventory, today: Date) -> Vec<Finding> {
    let mut findings = inventory.findings.clone();
    for pin in &inventory.pins {
        match &pin.what {
            What::Image(image) | What::Base(image) => {
                findings.extend(judge_image(pin, image, today));
            }
            What::Action(action) => findings.extend(judge_action(pin, action)),
            What::Toolchain(channel) => findings.extend(judge_toolchain(pin, channel)),
            // Both are whole, or they could not have been read.
            What::Download(_) | What::Key(_) => {}
        }
    }
    findings.extend(disagreements(&inventory.pins));
    // What could not be read may be what needs a waiver.
    if !any_error(&inventory.findings) {
        findings.extend(stale(inventory));
    }
    findings
}

/// The finding `rule` at every place that uses `part` of the pin.
fn at_each(pin: &Pin, part: Part, rule: &'static str, message: &str, help: &str) -> Vec<Finding> {
    let uses = pin.uses.iter().filter(|found| found.part == part);
    uses.map(|found| Finding::error(rule, found.at.place.clone(), message).help(help))
        .collect()
}

fn judge_image(pin: &Pin, image: &ImageRef, today: Date) -> Vec<Finding> {
    let mut findings = Vec::new();
    if image.tag().is_none_or(|tag| tag == "latest") {
        let message = format!("`{image}` names no version");
        let help = "write the version as the tag; the digest alone tells people nothing";
        findings.extend(at_each(pin, Part::Reference, "image-tag", &message, help));
    }
    match &pin.waiver {
        _ if image.digest().is_some() => {}
        None => {
            let message = format!("`{image}` is not pinned by digest");
            let help = "run `cargo xtask pin`";
            findings.extend(at_each(
                pin,
                Part::Reference,
                "unpinned-image",
                &message,
                help,
            ));
        }
        Some(waiver) => findings.push(waived(pin, waiver, today)),
    }
    findings
}

fn judge_action(pin: &Pin, action: &Action) -> Vec<Finding> {
    let Action {
        repository,
        reference,
        tag,
    } = action;
    let mut findings = Vec::new();
    let commit = match action.commit() {
        Ok(_) => None,
        Err(_) if reference.is_empty() => {
            Some(("unpinned-action", format!("`{repository}` names no commit")))
        }
        Err(CommitError::Name) => Some((
            "unpinned-action",
            format!(
                "`{repository}` is not pinned by commit: `{reference}` {}",
                CommitError::Name
            ),
        )),
        Err(error) => Some((
            "action-commit",
            format!("the commit of `{repository}` {error}"),
        )),
    };
    if let Some((rule, message)) = commit {
        let help = "write the 40 digits of the commit, and the tag behind it as a comment";
        findings.extend(at_each(pin, Part::Commit, rule, &message, help));
    }
    let (part, message) = match tag {
        Some(tag) if is_version(tag) => return findings,
        Some(tag) => (
            Part::Tag,
            format!("`{tag}` is no full version of `{repository}`"),
        ),
        None => (
            Part::Commit,
            format!("no comment says which version of `{repository}` the commit is"),
        ),
    };
    let help = "write it behind the commit, as in `# v1.2.3`: people and updates read it";
    findings.extend(at_each(pin, part, "action-tag", &message, help));
    findings
}

fn judge_toolchain(pin: &Pin, channel: &str) -> Vec<Finding> {
    if is_release(channel) {
        return Vec::new();
    }
    let message = format!("`{channel}` is not one release of Rust");
    let help = "name one in full, as in `1.2.3`: everything else moves";
    at_each(pin, Part::Channel, "toolchain", &message, help)
}

fn waived(pin: &Pin, waiver: &Waiver, today: Date) -> Finding {
    let Waiver {
        image,
        reason,
        expires,
        place,
    } = waiver;
    if *expires < today {
        let message = format!("the waiver of `{image}` ended on {expires}");
        return Finding::error("expired-waiver", place.clone(), message)
            .help("run `cargo xtask pin`, or renew the waiver with a reason");
    }
    let message = format!("`{image}` is not pinned; waived until {expires}: {reason}");
    Finding::warning("waived-image", pin.place().clone(), message)
}

fn stale(inventory: &Inventory) -> Vec<Finding> {
    let needed = |waiver: &&Waiver| {
        inventory
            .pins
            .iter()
            .filter_map(|pin| pin.waiver.as_ref())
            .any(|used| used.image == waiver.image)
    };
    let waivers = inventory.waivers.iter().filter(|waiver| !needed(waiver));
    waivers
        .map(|waiver| {
            let message = format!("nothing needs the waiver of `{}` any more", waiver.image);
            Finding::warning("stale-waiver", waiver.place.clone(), message).help("delete it")
        })
        .collect()
}

/// Places that say what one thing is, by what they say.
type Claims<'a> = BTreeMap<String, Vec<&'a Use>>;

/// One thing has one value in the whole tree. Where most places agree, the others are wrong;
/// where no value has the most, each of them may be.
fn disagreements(pins: &[Pin]) -> Vec<Finding> {
    let mut subjects: BTreeMap<String, Claims<'_>> = BTreeMap::new();
    for pin in pins {
        for found in &pin.uses {
            for (subject, value) in claims_of(pin, found.part) {
                let claims = subjects.entry(subject).or_default();
                claims.entry(value).or_default().push(found);
            }
        }
    }
    let mut findings = Vec::new();
    for (subject, claims) in subjects {
        let most = claims.values().map(Vec::len).max().unwrap_or(0);
        let mut meant = claims.iter().filter(|(_, uses)| uses.len() == most);
        let usual = match (meant.next(), meant.next()) {
            (Some((value, _)), None) => Some(value),
            _ => None,
        };
        if claims.len() < 2 {
            continue;
        }
        for (value, uses) in claims.iter().filter(|(value, _)| Some(*value) != usual) {
            let other = usual.or_else(|| claims.keys().find(|other| *other != value));
            let message = format!(
                "{subject} is `{value}` here and `{}` elsewhere",
                other.map_or("", String::as_str)
            );
            findings.extend(uses.iter().map(|found| {
                Finding::error("pins-disagree", found.at.place.clone(), message.clone())
                    .help("one thing has one pin in the whole tree")
            }));
        }
    }
    findings
}

/// What a place with `part` of `pin` says: about what, and which value.
fn claims_of(pin: &Pin, part: Part) -> Vec<(String, String)> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    if pin.pinned().is_none() && pin.waiver.is_none() {
        // That is a finding already.
        return Vec::new();
    }
    match (&pin.what, part) {
        (What::Image(image) | What::Base(image), _) => {
            let digest = image.digest().map(|digest| digest.to_string());
            let mut claims = vec![(
                format!("the digest of `{}`", image.unpinned()),
                or_none(digest),
            )];
            // What runs has one version; one Dockerfile may well need two tags of one image.
            if matches!(pin.what, What::Image(_)) {
                let tag = or_none(image.tag().map(str::to_owned));
                claims.push((format!("the tag of `{}`", image.name()), tag));
            }
            claims
        }
        (What::Action(action), Part::Commit) => {
            vec![(
                format!("the commit of `{}`", action.repository),
                action.reference.clone(),
            )]
        }
        (What::Action(action), Part::Tag) => vec![(
            format!("the tag of `{}`", action.repository),
            or_none(action.tag.clone()),
        )],
        (What::Toolchain(channel), _) => {
            vec![("the Rust toolchain".to_owned(), channel.clone())]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
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

    /// The findings, as `rule path:line`, of a tree with these files beside a whole one.
    fn findings(found: Vec<(FileKind, Source)>, waiver: Option<(&str, &str)>) -> Vec<String> {
        let waivers = waiver.map_or_else(
            || "version: 1\nwaivers: []\n".to_owned(),
            |(image, expires)| {
                format!("version: 1\nwaivers:\n  - {{image: '{image}', reason: r, expires: {expires}}}\n")
            },
        );
        let cloud_init = include_str!("../../../../cloud-init/cloud-init.yaml");
        let toolchain = "[toolchain]\nchannel = \"1.95.0\"\n";
        let files = Files {
            found,
            cloud_init: source(crate::pins_env::CLOUD_INIT, cloud_init),
            toolchain: Some(source(crate::inventory::TOOLCHAIN, toolchain)),
            toolchain_before: None,
            waivers: source(waivers::PATH, &waivers),
        };
        let inventory = Inventory::extract(&files);
        let today = waivers::parse_date("2026-11-01").unwrap();
        let findings = judge(&inventory, today).into_iter().map(|finding| {
            let place = finding.place.unwrap();
            format!("{} {}:{}", finding.rule, place.path, place.line)
        });
        findings.collect()
    }

    fn of_image(image: &str, waiver: Option<(&str, &str)>) -> Vec<String> {
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
            assert_eq!(of_image(image, waiver), expected, "{image}");
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
    fn what_most_places_say_is_meant_and_a_tie_shows_all() {
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

    /// What a compose file sets instead of the default of an `ARG` is what is built upon.
    #[test]
    fn the_image_in_a_build_argument_is_a_pin() {
        let pin = format!("v.example/a:v1@sha256:{HEX}");
        let base = format!("v.example/base:v1@sha256:{HEX}");
        let files = |args: &str| {
            let compose = format!(
                "services:\n  a:\n    image: {pin}\n    build: {{context: ., args: {args}}}\n"
            );
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
    fn a_dockerfile_that_is_built_but_not_read_is_missed() {
        let text = format!(
            "services:\n  a:\n    image: v.example/a:v1@sha256:{HEX}\n    build: {{context: x, dockerfile: build.txt}}\n"
        );
        let files = vec![(FileKind::Compose, source("c.yml", &text))];
        assert_eq!(findings(files, None), ["dockerfile c.yml:3"]);
    }
}
