//! A location in a file, in terms that users can find again.

use std::ops::Range;

/// A location in a source file, which a finding points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path relative to the root of the tree.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The line itself, without its line ending.
    pub excerpt: String,
    /// The byte range of `excerpt` to highlight.
    pub highlight: Range<usize>,
}

impl Place {
    /// The column after the highlight, in characters, counted from 1.
    pub fn end_column(&self) -> usize {
        self.column + self.excerpt[self.highlight.clone()].chars().count()
    }
}
