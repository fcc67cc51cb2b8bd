//! A file of the tree with its text, and locations in it.

use std::ops::Range;
use std::path::Path;

use crate::error::Result;
use crate::tree;

pub use crate::place::Place;

/// A text file, read once.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path relative to the root of the tree, separated by `/`.
    pub path: String,
    /// The whole text, exactly as on disk.
    pub text: String,
}

impl Source {
    /// Reads `root/path`.
    ///
    /// # Errors
    /// As [`tree::text`].
    pub fn read(root: &Path, path: &str) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            text: tree::text(root, path)?,
        })
    }

    /// The location of the bytes `span`, limited to its first line.
    pub fn place(&self, span: Range<usize>) -> Place {
        let start = floor_char(&self.text, span.start);
        let line = self.text[..start].matches('\n').count() + 1;
        self.place_in(line, span)
    }

    /// As [`Self::place`], with precomputed `lines` of this text: for many locations in one file.
    pub fn place_by(&self, lines: &Lines, span: Range<usize>) -> Place {
        let start = floor_char(&self.text, span.start);
        self.place_in(lines.0.partition_point(|end| *end < start) + 1, span)
    }

    fn place_in(&self, line: usize, span: Range<usize>) -> Place {
        let start = floor_char(&self.text, span.start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[line_start..];
        let excerpt = rest.lines().next().unwrap_or("");
        let from = (start - line_start).min(excerpt.len());
        let to = floor_char(&self.text, span.end)
            .saturating_sub(line_start)
            .clamp(from, excerpt.len());
        Place {
            path: self.path.clone(),
            line,
            column: before[line_start..].chars().count() + 1,
            excerpt: excerpt.to_owned(),
            highlight: from..to,
        }
    }
}

/// The offsets of the line ends of a text.
#[derive(Debug)]
pub struct Lines(Vec<usize>);

impl Lines {
    /// The lines of `text`.
    pub fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }
}

/// The greatest character boundary of `text` at or before `at`.
fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
