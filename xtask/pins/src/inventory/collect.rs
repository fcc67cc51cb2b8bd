//! Where the readers of all files put what they find: equal pins become one, with all its uses.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use polis_base::ImageRef;

use super::model::{Part, Pin, Use, What};
use crate::edit::At;
use crate::mapped::Mapped;
use xtask_host::finding::Finding;
use xtask_host::source::{Lines, Source};

/// The pins and findings so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) pins: Vec<Pin>,
    pub(super) findings: Vec<Finding>,
    /// Where each pin is in `pins`.
    known: HashMap<What, usize>,
    /// Where the use of a pin at a place is among its uses.
    used: HashMap<(usize, Part, String, Range<usize>), usize>,
    built: HashSet<ImageRef>,
    /// The lines of the file that was asked for last, by its path.
    lines: Option<(String, Lines)>,
}

impl Collector {
    /// The bytes `span` of `source` with their place; `source` is one of the files of the tree.
    pub(super) fn at(&mut self, source: &Source, span: Range<usize>) -> At {
        let known = self.lines.take().filter(|(path, _)| *path == source.path);
        let (path, lines) = known.unwrap_or_else(|| (source.path.clone(), Lines::of(&source.text)));
        let place = source.place_by(&lines, span.clone());
        self.lines = Some((path, lines));
        At { span, place }
    }

    /// Adds a pin with its uses, or these uses to the equal pin that is there.
    pub(super) fn pin(&mut self, what: What, uses: impl IntoIterator<Item = Use>) {
        let next = self.pins.len();
        let at = *self.known.entry(key(&what)).or_insert(next);
        if at == next {
            self.pins.push(Pin {
                what: what.clone(),
                built: false,
                waiver: None,
                uses: Vec::new(),
            });
        }
        let pin = &mut self.pins[at];
        // What the stack runs is an image, whoever else builds upon it.
        if matches!(what, What::Image(_)) {
            pin.what = what;
        }
        for one in uses {
            // Services that take an image from one anchor have one place between them.
            let place = (at, one.part, one.at.place.path.clone(), one.at.span.clone());
            match self.used.get(&place).map(|known| &mut pin.uses[*known]) {
                Some(known) if known.by != one.by => known.by = format!("{}, {}", known.by, one.by),
                Some(_) => {}
                None => {
                    self.used.insert(place, pin.uses.len());
                    pin.uses.push(one);
                }
            }
        }
    }

    /// The pins, when all files are read.
    pub(super) fn into_pins(mut self) -> (Vec<Pin>, Vec<Finding>) {
        for pin in &mut self.pins {
            pin.built = pin.image().is_some_and(|image| self.built.contains(image));
        }
        (self.pins, self.findings)
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
        self.built.insert(image.clone());
    }

    fn reference(
        &mut self,
        source: &Source,
        span: Range<usize>,
        by: &str,
        kind: impl Fn(ImageRef) -> What,
    ) {
        let at = self.at(source, span.clone());
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

    /// Adds an error about a text, at its first byte where it stands in pieces.
    pub(super) fn error_in(
        &mut self,
        source: &Source,
        text: &Mapped,
        rule: &'static str,
        message: String,
        help: &str,
    ) {
        let start = text.start().unwrap_or(0);
        let at = self.at(source, text.span().unwrap_or(start..start));
        let finding = Finding::error(rule, at.place, message);
        self.findings.push(finding.help(help));
    }

    /// Adds the error about an image reference that could not be edited.
    pub(super) fn in_pieces(&mut self, source: &Source, text: &Mapped, by: &str) {
        let message = format!(
            "the image of {by} is not one piece of plain text: `{}`",
            text.text()
        );
        let help = "write the reference without quotes, escapes and line ends in it";
        self.error_in(source, text, "image-reference", message, help);
    }
}

/// What is the same for two that are one pin: an image is the same wherever it is used.
fn key(what: &What) -> What {
    match what {
        What::Base(image) => What::Image(image.clone()),
        _ => what.clone(),
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
