//! Images without a digest that `pin-waivers.yaml` names, and waivers that no image needs.

use std::collections::BTreeMap;

use crate::date::Date;

use crate::inventory::Inventory;
use crate::inventory::model::{Field, Pin};
use crate::waivers::Waiver;
use xtask_host::finding::Finding;

/// An error for each waiver that expired before `today`; the others as one warning for each reason and date.
pub(super) fn judge(pins: &[Pin], today: Date) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut groups: BTreeMap<(Date, &str), Vec<&Pin>> = BTreeMap::new();
    for pin in pins {
        let unpinned = pin.image().is_some_and(|image| image.digest().is_none());
        match &pin.waiver {
            Some(waiver) if unpinned && waiver.expires < today => findings.push(expired(waiver)),
            Some(waiver) if unpinned => {
                let group = groups.entry((waiver.expires, &waiver.reason));
                group.or_default().push(pin);
            }
            _ => {}
        }
    }
    let groups = groups.into_iter();
    findings.extend(groups.map(|((expires, reason), pins)| warning(expires, reason, &pins)));
    findings
}

fn expired(waiver: &Waiver) -> Finding {
    let message = format!(
        "the waiver for `{}` expired on {}",
        waiver.image, waiver.expires
    );
    Finding::error("expired-waiver", waiver.place.clone(), message)
        .help("run `cargo xtask pin`, or renew the waiver with a reason")
}

fn warning(expires: Date, reason: &str, pins: &[&Pin]) -> Finding {
    let subject = match pins {
        [pin] => format!("`{}` is not pinned", pin.name()),
        pins => format!("{} images are not pinned", pins.len()),
    };
    let message = format!("{subject}, waived until {expires}: {reason}");
    let help = format!("`cargo xtask pin` pins {}", places(pins));
    Finding::warning("waived-image", pins[0].place().clone(), message).help(help)
}

/// Every place of the pins, the lines of one file together: `a.yml:3, 7 and b.yml:1`.
fn places(pins: &[&Pin]) -> String {
    let mut lines: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let occurrences = pins.iter().flat_map(|pin| &pin.occurrences);
    for occurrence in occurrences.filter(|occurrence| occurrence.field == Field::Reference) {
        let place = &occurrence.at.place;
        lines.entry(&place.path).or_default().push(place.line);
    }
    let files = lines.into_iter().map(|(path, mut lines)| {
        lines.sort_unstable();
        lines.dedup();
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        format!("{path}:{}", lines.join(", "))
    });
    files.collect::<Vec<_>>().join(" and ")
}

/// A warning for each waiver that no image needs.
pub(super) fn stale(inventory: &Inventory) -> Vec<Finding> {
    let is_needed = |waiver: &&Waiver| {
        let needed = inventory.pins.iter().filter_map(|pin| pin.waiver.as_ref());
        needed
            .into_iter()
            .any(|needed| needed.image == waiver.image)
    };
    let waivers = inventory.waivers.iter().filter(|waiver| !is_needed(waiver));
    waivers
        .map(|waiver| {
            let message = format!("no unpinned image needs the waiver for `{}`", waiver.image);
            Finding::warning("stale-waiver", waiver.place.clone(), message).help("delete it")
        })
        .collect()
}
