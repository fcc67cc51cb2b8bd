//! Edits of image pins. A second run gives no edits.

use std::collections::BTreeMap;

use polis_base::{Digest, ImageRef};

use super::Inventory;
use super::model::{Field, Occurrence};
use crate::edit::Edit;
use xtask_host::error::{Error, Result};

impl Inventory {
    /// The edits that pin every image to its digest in `digests` (by image without digest).
    ///
    /// # Errors
    /// If `digests` lacks an image: a failed look-up is an error, never a skip.
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
    /// Errors of `change`, and when some pins cannot be read.
    pub fn edit_images(
        &self,
        change: impl Fn(&ImageRef, &Occurrence) -> Result<ImageRef>,
    ) -> Result<Vec<Edit>> {
        self.require_readable()?;
        let mut edits = Vec::new();
        for pin in self.images() {
            let Some(image) = pin.image() else { continue };
            for found in pin
                .occurrences
                .iter()
                .filter(|found| found.field == Field::Reference)
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
    use crate::edit::apply;

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

    /// Anchors, quotes, CRLF, comments and a missing final newline survive.
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
    fn a_file_with_an_unreadable_image_is_not_edited() {
        let text = "services:\n  a: {image: ghcr.io/o/a:v1}\n  b: {image: 'ghcr.io/o/b:${V}'}\n";
        let error = pinned(text, &["ghcr.io/o/a:v1"]).expect_err("a variable");
        assert_eq!(error.findings[0].rule, "image-reference");
    }
}
