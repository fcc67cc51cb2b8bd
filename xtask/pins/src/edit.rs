//! Edits of files: each replaces the bytes of a place and no others.
//!
//! Comments, quoting, anchors, line ends and a missing final newline stay as they are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use similar::TextDiff;

use xtask_host::error::{Error, Result};
use xtask_host::source::{Place, Source};
use xtask_host::write;

/// Bytes of a file, with their file, line and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bytes, as an edit replaces them.
    pub span: Range<usize>,
    /// File, line and column.
    pub place: Place,
}

impl Location {
    /// The bytes `span` of `source`.
    pub fn new(source: &Source, span: Range<usize>) -> Self {
        Self {
            place: source.place(span.clone()),
            span,
        }
    }
}

/// The replacement of some bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file, relative to the root of the tree.
    pub path: String,
    /// The bytes.
    pub span: Range<usize>,
    /// The new text.
    pub text: String,
}

impl Edit {
    /// The replacement of the bytes at `at`.
    pub fn new(at: &Location, text: impl Into<String>) -> Self {
        Self {
            path: at.place.path.clone(),
            span: at.span.clone(),
            text: text.into(),
        }
    }
}

/// The effect of edits on one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file, relative to the root of the tree.
    pub path: String,
    /// Its text before.
    pub before: String,
    /// Its text after, which always differs.
    pub after: String,
}

impl Change {
    /// The change as a unified diff.
    pub fn diff(&self) -> String {
        let (old, new) = (format!("a/{}", self.path), format!("b/{}", self.path));
        TextDiff::from_lines(&self.before, &self.after)
            .unified_diff()
            .context_radius(1)
            .header(&old, &new)
            .to_string()
    }
}

/// The unified diff of all changes.
pub fn diff(changes: &[Change]) -> String {
    changes.iter().map(Change::diff).collect()
}

/// Applies `edits` to the `sources` that they name. Returns the changed files.
///
/// # Errors
/// If an edit names none of the sources, or two edits of one place differ.
pub fn apply<'a>(
    sources: impl IntoIterator<Item = &'a Source>,
    edits: &[Edit],
) -> Result<Vec<Change>> {
    let mut by_path: BTreeMap<&str, BTreeMap<usize, &Edit>> = BTreeMap::new();
    for edit in edits {
        let of_file = by_path.entry(&edit.path).or_default();
        let other = of_file.insert(edit.span.start, edit);
        if other.is_some_and(|other| other != edit) {
            return Err(contradiction(edit));
        }
    }
    let mut changes = Vec::new();
    for source in sources {
        let Some(edits) = by_path.remove(source.path.as_str()) else {
            continue;
        };
        let mut after = source.text.clone();
        let mut end = after.len();
        for edit in edits.into_values().rev() {
            if edit.span.end > end {
                return Err(contradiction(edit));
            }
            after.replace_range(edit.span.clone(), &edit.text);
            end = edit.span.start;
        }
        if after != source.text {
            changes.push(Change {
                path: source.path.clone(),
                before: source.text.clone(),
                after,
            });
        }
    }
    match by_path.into_keys().next() {
        Some(path) => Err(Error::machine(format!(
            "cannot edit `{path}`: it was not read"
        ))),
        None => Ok(changes),
    }
}

/// Writes `changes` to the tree at `root`, all of them or none.
///
/// # Errors
/// If the file system refuses.
pub fn write(root: &Path, changes: &[Change]) -> Result<()> {
    let files = changes
        .iter()
        .map(|change| (root.join(&change.path), change.after.as_bytes()));
    write::all_or_none(&files.collect::<Vec<_>>())
}

fn contradiction(edit: &Edit) -> Error {
    Error::findings(format!(
        "two edits of `{}` differ at byte {}",
        edit.path, edit.span.start
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicting_edits_and_edits_of_unknown_files_are_refused() {
        let source = Source {
            path: "a".to_owned(),
            text: "0123456789".to_owned(),
        };
        let edit = |path: &str, span, text: &str| Edit {
            path: path.to_owned(),
            span,
            text: text.to_owned(),
        };
        for edits in [
            [edit("a", 1..3, "x"), edit("a", 1..3, "y")],
            [edit("a", 1..3, "x"), edit("a", 2..4, "x")],
            [edit("a", 1..3, "x"), edit("b", 2..4, "x")],
        ] {
            assert!(apply([&source], &edits).is_err(), "{edits:?}");
        }
        let twice = [edit("a", 1..3, "x"), edit("a", 1..3, "x")];
        assert_eq!(apply([&source], &twice).unwrap()[0].after, "0x3456789");
        let same = [edit("a", 1..3, "12")];
        assert_eq!(apply([&source], &same).unwrap(), []);
    }

    #[test]
    fn a_diff_preserves_line_ends() {
        let change = Change {
            path: "x/y".to_owned(),
            before: "a\r\nb\r\nc\r\nd".to_owned(),
            after: "a\r\nb\r\nc\r\ne".to_owned(),
        };
        assert_eq!(
            change.diff(),
            "--- a/x/y\n+++ b/x/y\n@@ -3,2 +3,2 @@\n c\r\n-d\n\\ No newline at end of file\n+e\n\\ No newline at end of file\n"
        );
    }
}
