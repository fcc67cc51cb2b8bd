//! Where the readers of all files put what they find: equal pins become one, with all its uses.

use std::ops::Range;

use polis_base::ImageRef;

use super::model::{At, Part, Pin, Use, What};
use crate::finding::Finding;
use crate::source::Source;

/// The pins and findings so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) pins: Vec<Pin>,
    pub(super) findings: Vec<Finding>,
}

impl Collector {
    /// Adds a pin with its uses, or these uses to the equal pin that is there.
    pub(super) fn pin(&mut self, what: What, uses: impl IntoIterator<Item = Use>) -> &mut Pin {
        let known = self.pins.iter().position(|pin| same(&pin.what, &what));
        let at = known.unwrap_or_else(|| {
            self.pins.push(Pin {
                what: what.clone(),
                built: false,
                waiver: None,
                uses: Vec::new(),
            });
            self.pins.len() - 1
        });
        let pin = &mut self.pins[at];
        // What the stack runs is an image, whoever else builds upon it.
        if matches!(what, What::Image(_)) {
            pin.what = what;
        }
        for one in uses {
            // Services that take an image from one anchor have one place between them.
            let known = pin
                .uses
                .iter_mut()
                .find(|known| known.at == one.at && known.part == one.part);
            match known {
                Some(known) if known.by != one.by => known.by = format!("{}, {}", known.by, one.by),
                Some(_) => {}
                None => pin.uses.push(one),
            }
        }
        pin
    }

    /// Adds the image that the bytes `span` name.
    pub(super) fn image(&mut self, source: &Source, span: Range<usize>, by: &str) {
        self.reference(source, span, by, What::Image);
    }

    /// Adds the image that the bytes `span` name, where a Dockerfile builds upon it.
    pub(super) fn base(&mut self, source: &Source, span: Range<usize>, by: &str) {
        self.reference(source, span, by, What::Base);
    }

    /// Marks the image as built by this repository.
    pub(super) fn built(&mut self, image: &ImageRef) {
        let pins = self.pins.iter_mut();
        for pin in pins.filter(|pin| pin.image() == Some(image)) {
            pin.built = true;
        }
    }

    fn reference(
        &mut self,
        source: &Source,
        span: Range<usize>,
        by: &str,
        kind: impl Fn(ImageRef) -> What,
    ) {
        let at = At::new(source, span.clone());
        match source.text[span].parse() {
            Ok(image) => {
                let a_use = Use {
                    part: Part::Reference,
                    by: by.to_owned(),
                    at,
                };
                self.pin(kind(image), [a_use]);
            }
            Err(error) => self.error(
                "image-reference",
                &at,
                format!("the image of {by}: {error}"),
            ),
        }
    }

    /// Adds an error at a place.
    pub(super) fn error(&mut self, rule: &'static str, at: &At, message: impl Into<String>) {
        self.findings
            .push(Finding::error(rule, at.place.clone(), message));
    }
}

/// Whether two are one pin: an image is the same wherever it is used.
fn same(one: &What, other: &What) -> bool {
    match (one, other) {
        (What::Image(one) | What::Base(one), What::Image(other) | What::Base(other)) => {
            one == other
        }
        _ => one == other,
    }
}

/// Adds the bytes of each word of `text`, which starts at `start`.
pub(super) fn split(text: &str, start: usize, words: &mut Vec<Range<usize>>) {
    let mut at = start;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        if !word.is_empty() {
            words.push(at..at + word.len());
        }
        at += piece.len();
    }
}
