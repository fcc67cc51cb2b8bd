//! Collects pins and findings from all readers. Equal pins are merged, with all their occurrences.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use polis_base::ImageRef;
use polis_base::image::ImageRefError;

use super::model::{Dependency, Field, Occurrence, Pin};
use crate::edit::Location;
use crate::mapped::Mapped;
use xtask_host::finding::Finding;
use xtask_host::source::{Lines, Source};

/// Pins and findings so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) pins: Vec<Pin>,
    pub(super) findings: Vec<Finding>,
    /// The index of each pin in `pins`.
    known: HashMap<Dependency, usize>,
    /// The index of each occurrence among those of its pin.
    used: HashMap<(usize, Field, String, Range<usize>), usize>,
    built: HashSet<ImageRef>,
    /// The path and the lines of the last file: a cache.
    lines: Option<(String, Lines)>,
}

impl Collector {
    /// The bytes `span` of `source`, with their place.
    pub(super) fn at(&mut self, source: &Source, span: Range<usize>) -> Location {
        let known = self.lines.take().filter(|(path, _)| *path == source.path);
        let (path, lines) = known.unwrap_or_else(|| (source.path.clone(), Lines::of(&source.text)));
        let place = source.place_by(&lines, span.clone());
        self.lines = Some((path, lines));
        Location { span, place }
    }

    /// Adds a pin, or only its occurrences if an equal pin exists.
    pub(super) fn pin(
        &mut self,
        dependency: Dependency,
        occurrences: impl IntoIterator<Item = Occurrence>,
    ) {
        let next = self.pins.len();
        let at = *self.known.entry(key(&dependency)).or_insert(next);
        if at == next {
            self.pins.push(Pin {
                dependency: dependency.clone(),
                built: false,
                waiver: None,
                occurrences: Vec::new(),
            });
        }
        let pin = &mut self.pins[at];
        // An image that also serves as a base counts as an image.
        if matches!(dependency, Dependency::Image(_)) {
            pin.dependency = dependency;
        }
        for one in occurrences {
            // Services that share an anchor share the place.
            let place = (
                at,
                one.field,
                one.at.place.path.clone(),
                one.at.span.clone(),
            );
            match self
                .used
                .get(&place)
                .map(|known| &mut pin.occurrences[*known])
            {
                Some(known) if known.by != one.by => known.by = format!("{}, {}", known.by, one.by),
                Some(_) => {}
                None => {
                    self.used.insert(place, pin.occurrences.len());
                    pin.occurrences.push(one);
                }
            }
        }
    }

    /// The pins and findings of all files.
    pub(super) fn into_pins(mut self) -> (Vec<Pin>, Vec<Finding>) {
        for pin in &mut self.pins {
            pin.built = pin.image().is_some_and(|image| self.built.contains(image));
        }
        (self.pins, self.findings)
    }

    /// Adds the image at `span`.
    pub(super) fn image(&mut self, source: &Source, span: Range<usize>, by: &str) {
        self.reference(source, span, by, Dependency::Image);
    }

    /// Adds the base image at `span`.
    pub(super) fn base(&mut self, source: &Source, span: Range<usize>, by: &str) {
        self.reference(source, span, by, Dependency::Base);
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
        kind: impl Fn(ImageRef) -> Dependency,
    ) {
        let at = self.at(source, span.clone());
        match source.text[span].parse() {
            Ok(image) => {
                let occurrence = Occurrence {
                    field: Field::Reference,
                    by: by.to_owned(),
                    at,
                };
                self.pin(kind(image), [occurrence]);
            }
            Err(error) => {
                let message = format!("the image of {by}: {error}");
                let finding = Finding::error("image-reference", at.place, message);
                self.findings.push(finding.help(remedy(&error)));
            }
        }
    }

    /// Adds an error at a place.
    pub(super) fn error(&mut self, rule: &'static str, at: &Location, message: impl Into<String>) {
        self.findings
            .push(Finding::error(rule, at.place.clone(), message));
    }

    /// Adds an error about a text: at its first byte if it is not contiguous.
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

    /// Adds the error about an image reference that cannot be edited.
    pub(super) fn in_pieces(&mut self, source: &Source, text: &Mapped, by: &str) {
        let message = format!(
            "the image of {by} is not contiguous plain text: `{}`",
            text.text()
        );
        let help = "write the reference without quotes, escapes and line breaks inside it";
        self.error_in(source, text, "image-reference", message, help);
    }
}

/// The help for an invalid image reference.
fn remedy(error: &ImageRefError) -> &'static str {
    match error {
        ImageRefError::Digest(_) => {
            "a digest is `sha256:` and 64 hex digits; delete it and run `cargo xtask pin`, which looks it up"
        }
        ImageRefError::Variable => {
            "write the reference itself, or `${NAME:-reference}`: only the file can be pinned"
        }
        _ => "write `registry/owner/name:version`; `cargo xtask pin` adds the digest",
    }
}

/// What equal pins have in common: an image is one pin, whether it runs or is a base.
fn key(dependency: &Dependency) -> Dependency {
    match dependency {
        Dependency::Base(image) => Dependency::Image(image.clone()),
        _ => dependency.clone(),
    }
}

/// Adds the span of each word of `text`, which begins at `start`.
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
