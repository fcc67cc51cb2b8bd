//! A place in a file that people can find again.

use std::ops::Range;

/// A place in a source: what a finding points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path relative to the root of the tree.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself, without its end.
    pub excerpt: String,
    /// The bytes of `excerpt` that are meant.
    pub highlight: Range<usize>,
}

impl Place {
    /// The column after the highlight, in characters from 1.
    pub fn end_column(&self) -> usize {
        self.column + self.excerpt[self.highlight.clone()].chars().count()
    }
}
