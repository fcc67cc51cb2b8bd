//! Judges the pins by the files alone: everything must be pinned, and all places must agree.

mod waived;

use std::collections::BTreeMap;

use crate::date::Date;
use polis_base::ImageRef;

use super::model::{Action, CommitError, Dependency, Field, Pin, is_release, is_version};
use super::{Inventory, Occurrence};
use xtask_host::finding::{Finding, any_error};
use xtask_host::source::Place;

/// Judges the pins of the tree on the day `today`.
///
/// The findings of reading the files come first, as they may cause the others.
pub fn judge(inventory: &Inventory, today: Date) -> Vec<Finding> {
    let mut findings = inventory.findings.clone();
    for pin in &inventory.pins {
        match &pin.dependency {
            Dependency::Image(image) | Dependency::Base(image) => {
                findings.extend(judge_image(pin, image));
            }
            Dependency::Action(action) => findings.extend(judge_action(pin, action)),
            Dependency::Toolchain(channel) => findings.extend(judge_toolchain(pin, channel)),
            // Their readers refuse them without a checksum or a fingerprint.
            Dependency::Download(_) | Dependency::Key(_) => {}
        }
    }
    findings.extend(waived::judge(&inventory.pins, today));
    findings.extend(disagreements(&inventory.pins));
    // An image that could not be read may need the waiver.
    if !any_error(&inventory.findings) {
        findings.extend(waived::stale(inventory));
    }
    findings
}

/// The finding `rule` at every place that names `field` of the pin.
fn at_each(pin: &Pin, field: Field, rule: &'static str, message: &str, help: &str) -> Vec<Finding> {
    let occurrences = pin.occurrences.iter().filter(|found| found.field == field);
    occurrences
        .map(|found| Finding::error(rule, found.at.place.clone(), message).help(help))
        .collect()
}

fn judge_image(pin: &Pin, image: &ImageRef) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_moving = image.tag().is_none_or(|tag| tag == "latest");
    if is_moving {
        let message = match image.tag() {
            Some(tag) => format!("the tag `{tag}` of `{}` names no version", image.name()),
            None => format!("`{image}` has no tag"),
        };
        let help = "write the version as the tag, as in `:v1.2.3`: people and `cargo xtask update` read it";
        findings.extend(at_each(pin, Field::Reference, "image-tag", &message, help));
    }
    if image.digest().is_none() && pin.waiver.is_none() {
        let message = format!("`{image}` is not pinned by digest: its tag can be moved");
        let help = match is_moving {
            true => "write the version as the tag, then run `cargo xtask pin`",
            false => "run `cargo xtask pin`, which appends the digest to the tag",
        };
        findings.extend(at_each(
            pin,
            Field::Reference,
            "unpinned-image",
            &message,
            help,
        ));
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
            let message = format!("`{repository}` is not pinned: it has no `@` and commit");
            Some(("unpinned-action", message))
        }
        Err(error @ CommitError::Name) => {
            let message = format!("`{repository}` is not pinned by commit: `{reference}` {error}");
            Some(("unpinned-action", message))
        }
        Err(error) => {
            let message = format!("the commit of `{repository}` {error}");
            Some(("action-commit", message))
        }
    };
    if let Some((rule, message)) = commit {
        let help = "write the 40 digits of the commit, followed by its tag as a comment";
        findings.extend(at_each(pin, Field::Commit, rule, &message, help));
    }
    let (field, message) = match tag {
        Some(tag) if is_version(tag) => return findings,
        Some(tag) => {
            let message = format!("`{tag}` is not a full version of `{repository}`");
            (Field::Tag, message)
        }
        None => {
            let message = format!("no comment names the version of `{repository}`");
            (Field::Commit, message)
        }
    };
    let help =
        "write it after the commit, as in `# v1.2.3`: people and `cargo xtask update` read it";
    findings.extend(at_each(pin, field, "action-tag", &message, help));
    findings
}

fn judge_toolchain(pin: &Pin, channel: &str) -> Vec<Finding> {
    if is_release(channel) {
        return Vec::new();
    }
    let message = format!("`{channel}` is not a full version of Rust");
    let help = "name a release, as in `1.2.3`: channels and `1.2` move";
    at_each(pin, Field::Channel, "toolchain", &message, help)
}

/// The places that name one thing, by the value that they give it.
type Claims<'a> = BTreeMap<String, Vec<&'a Occurrence>>;

/// Things that have more than one value. Where one value has the most places, the other places are reported;
/// without such a majority, all of them.
fn disagreements(pins: &[Pin]) -> Vec<Finding> {
    let mut subjects: BTreeMap<String, Claims<'_>> = BTreeMap::new();
    for pin in pins {
        for found in &pin.occurrences {
            for (subject, value) in claims_of(pin, found.field) {
                let claims = subjects.entry(subject).or_default();
                claims.entry(value).or_default().push(found);
            }
        }
    }
    let contradicted = subjects.iter().filter(|(_, claims)| claims.len() > 1);
    contradicted
        .flat_map(|(subject, claims)| contradictions(subject, claims))
        .collect()
}

fn contradictions(subject: &str, claims: &Claims<'_>) -> Vec<Finding> {
    let most = claims.values().map(Vec::len).max().unwrap_or(0);
    let mut leading = claims.iter().filter(|(_, places)| places.len() == most);
    let usual = match (leading.next(), leading.next()) {
        (Some((value, _)), None) => Some(value),
        _ => None,
    };
    let mut findings = Vec::new();
    for (value, places) in claims.iter().filter(|(value, _)| Some(*value) != usual) {
        let mut others = claims.iter().filter(|(other, _)| *other != value);
        let other = others.find(|(other, _)| usual.is_none_or(|usual| *other == usual));
        let Some((other, elsewhere)) = other else {
            continue;
        };
        let Place { path, line, .. } = &elsewhere[0].at.place;
        let message = format!("{subject} is `{value}` here and `{other}` in {path}:{line}");
        findings.extend(places.iter().map(|found| {
            Finding::error("pins-disagree", found.at.place.clone(), message.clone())
                .help(remedy(found.field))
        }));
    }
    findings
}

/// How to give all places of one thing the same value.
fn remedy(field: Field) -> &'static str {
    match field {
        Field::Reference => {
            "write the same tag in both places, then run `cargo xtask pin`, which writes one digest into all of them"
        }
        Field::Commit | Field::Tag => {
            "`cargo xtask update actions` moves all places of an action to one version"
        }
        _ => "write the same value in both places",
    }
}

/// The statements that an occurrence of `field` makes: each with what it is about and the value.
fn claims_of(pin: &Pin, field: Field) -> Vec<(String, String)> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    if pin.pinned().is_none() && pin.waiver.is_none() {
        // Reported as unpinned.
        return Vec::new();
    }
    match (&pin.dependency, field) {
        (Dependency::Image(image) | Dependency::Base(image), _) => {
            let digest = image.digest().map(|digest| digest.to_string());
            let subject = format!("the digest of `{}`", image.unpinned());
            let mut claims = vec![(subject, or_none(digest))];
            // A service runs one version of an image, but a Dockerfile may need two tags of one image.
            if matches!(pin.dependency, Dependency::Image(_)) {
                let tag = or_none(image.tag().map(str::to_owned));
                claims.push((format!("the tag of `{}`", image.name()), tag));
            }
            claims
        }
        (Dependency::Action(action), Field::Commit) => {
            let subject = format!("the commit of `{}`", action.repository);
            vec![(subject, action.reference.clone())]
        }
        (Dependency::Action(action), Field::Tag) => {
            let subject = format!("the tag of `{}`", action.repository);
            vec![(subject, or_none(action.tag.clone()))]
        }
        (Dependency::Toolchain(channel), _) => {
            vec![("the Rust toolchain".to_owned(), channel.clone())]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
