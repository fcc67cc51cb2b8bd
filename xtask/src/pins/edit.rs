//! Edits of pins: they replace the bytes of a place and no others, in as many files as it takes.
//!
//! Comments, quoting, anchors, line ends and a missing final newline stay as they are. What is
//! pinned as asked already gives no edit, so that a second run changes nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use polis_base::{Digest, ImageRef};
use similar::TextDiff;

use super::Inventory;
use super::model::{At, Part, Use};
use crate::error::{Error, Result};
use crate::source::Source;

/// The replacement of some bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file, relative to the root of the tree.
    pub path: String,
    /// The bytes.
    pub span: Range<usize>,
    /// What stands there afterwards.
    pub text: String,
}

impl Edit {
    /// The replacement of what stands at `at`.
    pub fn new(at: &At, text: impl Into<String>) -> Self {
        Self {
            path: at.place.path.clone(),
            span: at.span.clone(),
            text: text.into(),
        }
    }
}

/// What edits make of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file, relative to the root of the tree.
    pub path: String,
    /// Its text before.
    pub before: String,
    /// Its text after; never the same.
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

/// Applies `edits` to the `sources` that they name. Files that stay the same are not returned.
///
/// # Errors
/// When an edit is of none of the sources, or two want different texts at one place.
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
            "`{path}` was to be changed, and was not read"
        ))),
        None => Ok(changes),
    }
}

fn contradiction(edit: &Edit) -> Error {
    Error::findings(format!(
        "`{}` would hold two values at byte {}",
        edit.path, edit.span.start
    ))
}

impl Inventory {
    /// The edits that pin every image to its digest in `digests` (by image without digest).
    ///
    /// # Errors
    /// When an image has no digest there: a failed look-up is an error, never a skip.
    pub fn pin_images(&self, digests: &BTreeMap<ImageRef, Digest>) -> Result<Vec<Edit>> {
        self.edit_images(|image, place| {
            let digest = digests.get(&image.unpinned()).ok_or_else(|| {
                Error::findings(format!("no digest was found for `{}`", image.unpinned()))
                    .because(format!("`{}` names it", place.at.place.path))
            })?;
            Ok(image.pinned(*digest))
        })
    }

    /// The edits that change every image reference, at each of its places, as `change` says.
    ///
    /// # Errors
    /// What `change` returns, and where the pins of the tree could not all be read.
    pub fn edit_images(
        &self,
        change: impl Fn(&ImageRef, &Use) -> Result<ImageRef>,
    ) -> Result<Vec<Edit>> {
        self.require_readable()?;
        let mut edits = Vec::new();
        for pin in self.images() {
            let Some(image) = pin.image() else { continue };
            for found in pin
                .uses
                .iter()
                .filter(|found| found.part == Part::Reference)
            {
                let changed = change(image, found)?;
                if changed != *image {
                    edits.push(Edit::new(&found.at, changed.to_string()));
                }
            }
        }
        Ok(edits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::tests::compose;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn pinned(text: &str, images: &[&str]) -> Result<String> {
        let digests = images
            .iter()
            .map(|image| (image.parse().unwrap(), Digest::of(b"")));
        let compose = compose(text);
        let inventory = Inventory::of_stack(&compose, Vec::new());
        let edits = inventory.pin_images(&digests.collect())?;
        let changes = apply([&compose.source], &edits)?;
        Ok(changes
            .into_iter()
            .next()
            .map_or_else(|| text.to_owned(), |change| change.after))
    }

    /// Anchors, quotes, CRLF, comments and a missing final newline survive; only the image
    /// values change, and a second run changes nothing.
    #[test]
    fn pinning_changes_only_the_references() {
        let old = HEX.replace('e', "0");
        let text = format!(
            "# é\r\nx: &img 'ghcr.io/o/a:v1' # keep\r\nservices:\r\n  a: {{image: *img}}\r\n  b:\r\n    image: \"ghcr.io/o/b:v2@sha256:{old}\"   # b\r\n  c: {{image: *img}}\r\n  e: {{image: '${{E:-ghcr.io/o/b:v2}}'}}\r\n  d:\r\n    image: ghcr.io/o/b:v2"
        );
        let images = ["ghcr.io/o/a:v1", "ghcr.io/o/b:v2"];
        let once = pinned(&text, &images).unwrap();
        let expected = text
            .replace(&format!("@sha256:{old}"), "")
            .replace("o/a:v1", &format!("o/a:v1@sha256:{HEX}"))
            .replace("o/b:v2", &format!("o/b:v2@sha256:{HEX}"));
        assert_eq!(once, expected);
        assert_eq!(pinned(&once, &images).unwrap(), once);
    }

    #[test]
    fn a_missing_digest_is_an_error_that_names_the_image() {
        let text = "services:\n  a:\n    image: ghcr.io/o/a:v1\n";
        let error = pinned(text, &[]).expect_err("none").to_string();
        let expected = "no digest was found for `ghcr.io/o/a:v1`";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_whole_is_not_edited() {
        let text = "services:\n  a: {image: ghcr.io/o/a:v1}\n  b: {image: 'ghcr.io/o/b:${V}'}\n";
        let error = pinned(text, &["ghcr.io/o/a:v1"]).expect_err("a variable");
        assert_eq!(error.findings[0].rule, "image-reference");
    }

    #[test]
    fn edits_that_contradict_each_other_or_lead_nowhere_are_refused() {
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
    fn a_diff_shows_line_ends_as_they_are() {
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
