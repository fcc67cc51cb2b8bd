//! Pins of images: what the files alone can tell, and the edit that writes a digest.
//!
//! Both are pure. The edit changes the characters of image references and no others: comments,
//! quoting, anchors, line ends and a missing final newline stay as they are.

use std::collections::BTreeMap;

use polis_base::{Digest, ImageRef};
use serde_json::{Value, json};
use time::Date;

use crate::compose::{self, Compose, ImageUse};
use crate::error::{Error, Result};
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

/// The images to ask a registry for: all that this repository does not build, without digest.
///
/// # Errors
/// When an image value cannot be read.
pub fn to_resolve(compose: &Compose) -> Result<Vec<ImageRef>> {
    let built: Vec<ImageRef> = compose
        .built()?
        .into_iter()
        .map(|built| built.image)
        .collect();
    let mut images: Vec<ImageRef> = Vec::new();
    for image_use in compose.readable_images()? {
        if let Ok(image) = image_use.image {
            let image = image.unpinned();
            if !built.contains(&image) && !images.contains(&image) {
                images.push(image);
            }
        }
    }
    Ok(images)
}

/// The text of the compose file with every image pinned to its digest in `digests` (by image
/// without digest).
///
/// # Errors
/// When an image has no digest there: a failed look-up is an error, never a skip.
pub fn pinned_text(compose: &Compose, digests: &BTreeMap<ImageRef, Digest>) -> Result<String> {
    edited(compose, |image| {
        let digest = digests.get(&image.unpinned()).ok_or_else(|| {
            Error::findings(format!("no digest was found for `{}`", image.unpinned()))
                .because(format!("`{}` names it", compose::PATH))
        })?;
        Ok(image.pinned(*digest))
    })
}

/// The text of the compose file with `change` applied to every image reference.
///
/// # Errors
/// When an image value cannot be read, or what `change` returns.
pub fn edited(compose: &Compose, change: impl Fn(&ImageRef) -> Result<ImageRef>) -> Result<String> {
    let mut edits = BTreeMap::new();
    for image_use in compose.readable_images()? {
        if let Ok(image) = &image_use.image {
            edits.insert(
                image_use.span.start,
                (image_use.span.end, change(image)?.to_string()),
            );
        }
    }
    let mut text = compose.source.text.clone();
    for (start, (end, replacement)) in edits.into_iter().rev() {
        text.replace_range(start..end, &replacement);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::tests::compose;
    use crate::source::Source;
    use crate::waivers;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn today() -> Date {
        waivers::parse_date("2026-11-01").unwrap()
    }

    fn waiver(image: &str, expires: &str) -> Vec<Waiver> {
        let text = format!(
            "version: 1\nwaivers:\n  - {{image: '{image}', reason: r, expires: {expires}}}\n"
        );
        waivers::parse(&Source {
            path: waivers::PATH.to_owned(),
            text,
        })
        .unwrap()
    }

    fn rules(text: &str, waivers: &[Waiver]) -> Vec<&'static str> {
        let (_, findings) = verify(&compose(text), waivers, today());
        findings.iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn every_state_of_a_pin_has_its_rule() {
        let one = |image: &str| format!("services:\n  a:\n    image: {image}\n");
        let pinned = one(&format!("ghcr.io/o/a:v1@sha256:{HEX}"));
        let bare = one("ghcr.io/o/a:v1");
        assert_eq!(rules(&pinned, &[]), [""; 0]);
        assert_eq!(rules(&bare, &[]), ["unpinned-image"]);
        assert_eq!(
            rules(&bare, &waiver("ghcr.io/o/a:v1", "2026-11-01")),
            ["waived-image"]
        );
        assert_eq!(
            rules(&bare, &waiver("ghcr.io/o/a:v1", "2026-10-31")),
            ["expired-waiver"]
        );
        assert_eq!(
            rules(&bare, &waiver("ghcr.io/o/a:v2", "2027-01-01")),
            ["unpinned-image", "stale-waiver"]
        );
        assert_eq!(
            rules(&pinned, &waiver("ghcr.io/o/a:v1", "2027-01-01")),
            ["stale-waiver"]
        );
        assert_eq!(
            rules(&one("ghcr.io/o/a:latest"), &[]),
            ["image-tag", "unpinned-image"]
        );
        assert_eq!(
            rules(&one(&format!("ghcr.io/o/a@sha256:{HEX}")), &[]),
            ["image-tag"]
        );
        assert_eq!(
            rules(&one("ghcr.io/o/a:v1@sha256:00"), &[]),
            ["image-reference"]
        );
        assert_eq!(rules(&one("a:v1"), &[]), ["image-reference"]);
        assert_eq!(rules(&one("[x]"), &[]), ["image-reference"]);
        assert_eq!(rules("services:\n  a: {}\n", &[]), ["image-missing"]);
        let two = format!(
            "services:\n  a:\n    image: ghcr.io/o/a:v1@sha256:{HEX}\n  b:\n    image: ghcr.io/o/a:v2@sha256:{HEX}\n"
        );
        assert_eq!(rules(&two, &[]), ["pins-disagree"]);
    }

    /// Anchors, quotes, CRLF, comments and a missing final newline survive; only the image
    /// values change, and a second run changes nothing.
    #[test]
    fn pinning_changes_only_the_references() {
        let text = "# é\r\nx: &img 'ghcr.io/o/a:v1' # keep\r\nservices:\r\n  a: {image: *img}\r\n  b:\r\n    image: \"ghcr.io/o/b:v2\"   # b\r\n  c: {image: *img}\r\n  d:\r\n    image: ghcr.io/o/b:v2";
        let digest = Digest::of(b"");
        let digests: BTreeMap<ImageRef, Digest> = ["ghcr.io/o/a:v1", "ghcr.io/o/b:v2"]
            .map(|image| (image.parse().unwrap(), digest))
            .into();
        let pinned = pinned_text(&compose(text), &digests).unwrap();
        let expected = text
            .replace("o/a:v1", &format!("o/a:v1@sha256:{HEX}"))
            .replace("o/b:v2", &format!("o/b:v2@sha256:{HEX}"));
        assert_eq!(pinned, expected);
        assert_eq!(pinned_text(&compose(&pinned), &digests).unwrap(), pinned);
    }

    #[test]
    fn a_missing_digest_is_an_error_that_names_the_image() {
        let compose = compose("services:\n  a:\n    image: ghcr.io/o/a:v1\n");
        let error = pinned_text(&compose, &BTreeMap::new())
            .expect_err("none")
            .to_string();
        assert!(
            error.contains("no digest was found for `ghcr.io/o/a:v1`"),
            "{error}"
        );
    }
}
