//! Pins of images: what the compose file alone can tell.

use polis_base::ImageRef;
use serde_json::{Value, json};
use time::Date;

use crate::compose::{Compose, ImageUse};
use crate::finding::Finding;
use crate::waivers::Waiver;

/// What the files say about one image.
#[derive(Debug, Clone)]
pub struct PinState {
    /// The image, as the compose file names it.
    pub image: ImageRef,
    /// The services that use it.
    pub services: Vec<String>,
    /// Whether this repository builds it.
    pub built: bool,
    /// The reason, where it is waived.
    pub waived: Option<String>,
}

impl PinState {
    /// The state in a JSON report.
    pub fn to_json(&self) -> Value {
        json!({
            "image": self.image.unpinned().to_string(),
            "digest": self.image.digest().map(|digest| digest.to_string()),
            "services": self.services,
            "built": self.built,
            "waived": self.waived,
        })
    }
}

/// Judges the image pins of the compose file.
///
/// Returns the state of every image that is a reference, and the findings: an unpinned image
/// without a waiver, an expired or stale waiver, `latest`, two digests for one tag.
pub fn verify(compose: &Compose, waivers: &[Waiver], today: Date) -> (Vec<PinState>, Vec<Finding>) {
    let uses = match compose.images() {
        Ok(uses) => uses,
        Err(findings) => return (Vec::new(), findings),
    };
    let mut states: Vec<PinState> = Vec::new();
    let mut findings = Vec::new();
    for image_use in &uses {
        let image = match &image_use.image {
            Ok(image) => image,
            Err(error) => {
                findings.push(Finding::error(
                    "image-reference",
                    compose.place(image_use.span.clone()),
                    format!("the image of {}: {error}", image_use.by),
                ));
                continue;
            }
        };
        if let Some(known) = states.iter_mut().find(|known| known.image == *image) {
            known.services.push(image_use.by.clone());
            known.built |= image_use.build.is_some();
            continue;
        }
        if let Some(other) = states
            .iter()
            .find(|known| known.image.name() == image.name())
        {
            findings.push(disagreement(compose, image_use, &other.image));
        }
        findings.extend(judge(compose, image_use, image, waivers, today));
        states.push(PinState {
            image: image.clone(),
            services: vec![image_use.by.clone()],
            built: image_use.build.is_some(),
            waived: match image.digest() {
                Some(_) => None,
                None => waiver_for(image, waivers).map(|waiver| waiver.reason.clone()),
            },
        });
    }
    findings.extend(stale(&states, waivers));
    (states, findings)
}

fn judge(
    compose: &Compose,
    image_use: &ImageUse,
    image: &ImageRef,
    waivers: &[Waiver],
    today: Date,
) -> Vec<Finding> {
    let place = || compose.place(image_use.span.clone());
    let mut findings = Vec::new();
    if image.tag().is_none_or(|tag| tag == "latest") {
        findings.push(
            Finding::error("image-tag", place(), format!("`{image}` names no version"))
                .help("write the version as the tag; the digest alone tells people nothing"),
        );
    }
    if image.digest().is_some() {
        return findings;
    }
    findings.push(match waiver_for(image, waivers) {
        None => Finding::error(
            "unpinned-image",
            place(),
            format!("`{image}` is not pinned by digest"),
        )
        .help("run `cargo xtask pin`"),
        Some(waiver) if waiver.expires < today => Finding::error(
            "expired-waiver",
            waiver.place.clone(),
            format!("the waiver of `{image}` ended on {}", waiver.expires),
        )
        .help("run `cargo xtask pin`, or renew the waiver with a reason"),
        Some(waiver) => Finding::warning(
            "waived-image",
            place(),
            format!(
                "`{image}` is not pinned; waived until {}: {}",
                waiver.expires, waiver.reason
            ),
        ),
    });
    findings
}

fn disagreement(compose: &Compose, image_use: &ImageUse, other: &ImageRef) -> Finding {
    Finding::error(
        "pins-disagree",
        compose.place(image_use.span.clone()),
        format!(
            "`{}` uses another version or digest than `{other}`",
            image_use.by
        ),
    )
    .help("one image has one pin in the whole stack")
}

fn waiver_for<'a>(image: &ImageRef, waivers: &'a [Waiver]) -> Option<&'a Waiver> {
    let image = image.unpinned().to_string();
    waivers.iter().find(|waiver| waiver.image == image)
}

fn stale(states: &[PinState], waivers: &[Waiver]) -> Vec<Finding> {
    let needed = |waiver: &&Waiver| {
        states
            .iter()
            .any(|state| state.image.digest().is_none() && state.image.to_string() == waiver.image)
    };
    waivers
        .iter()
        .filter(|waiver| !needed(waiver))
        .map(|waiver| {
            let message = format!("nothing needs the waiver of `{}` any more", waiver.image);
            Finding::warning("stale-waiver", waiver.place.clone(), message).help("delete it")
        })
        .collect()
}
