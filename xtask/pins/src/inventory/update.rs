//! Moves a pin to another version: selects it, and makes the edits.
//!
//! The caller looks up the versions and the checksums.

use polis_base::{Digest, ImageRef};

use super::model::{Action, Commit, Download, Field, Pin};
use crate::edit::Edit;
use xtask_host::error::{Error, Result};

/// A tag that names a version: `v1.2.3`, `1.2`, `1.2.3-alpine`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag<'a> {
    v: bool,
    numbers: Vec<u64>,
    /// The text after the numbers: a prerelease, or the variant of an image.
    suffix: &'a str,
}

impl<'a> Tag<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix('v').unwrap_or(text);
        let end = rest.find(['-', '+']).unwrap_or(rest.len());
        let (numbers, suffix) = rest.split_at(end);
        let numbers: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
        let numbers = numbers.filter(|numbers| numbers.len() > 1)?;
        Some(Self {
            v: rest.len() < text.len(),
            numbers,
            suffix,
        })
    }

    /// Whether the two tags have the same form, and so can be compared.
    fn is_like(&self, other: &Self) -> bool {
        (self.v, self.numbers.len(), self.suffix) == (other.v, other.numbers.len(), other.suffix)
    }
}

/// The version to move to from `current`: `wanted` if given, else the newest of `tags`; `None` if `current` is the
/// newest.
///
/// Never a prerelease. From a tag like `1.2.3-alpine`, only one with the same suffix.
///
/// # Errors
/// A usage error when `wanted` is a prerelease or not a version. An error when `current` is not a version, or none of
/// `tags` is.
pub fn target<'a>(
    name: &str,
    current: &str,
    wanted: Option<&str>,
    tags: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>> {
    let old = Tag::parse(current).ok_or_else(|| {
        Error::findings(format!(
            "the pinned tag `{current}` of {name} is not a version"
        ))
    })?;
    if let Some(wanted) = wanted {
        return named(&old, wanted).map(Some);
    }
    let mut versions: Vec<(Vec<u64>, &str)> = tags
        .into_iter()
        .filter_map(|text| Some((Tag::parse(text)?, text)))
        .filter(|(tag, _)| tag.is_like(&old))
        .map(|(tag, text)| (tag.numbers, text))
        .collect();
    versions.sort();
    match versions.pop() {
        Some((numbers, text)) if numbers > old.numbers => Ok(Some(text.to_owned())),
        Some(_) => Ok(None),
        None => Err(Error::new(
            xtask_host::error::Outcome::Drift,
            format!("no published version of {name} has the form of `{current}`"),
        )),
    }
}

/// The requested version, with a `v` if the pin has one.
fn named(old: &Tag<'_>, wanted: &str) -> Result<String> {
    let Some(tag) = Tag::parse(wanted) else {
        return Err(Error::usage(format!("`{wanted}` is not a version")));
    };
    if !tag.suffix.is_empty() && tag.suffix != old.suffix {
        return Err(Error::usage(format!(
            "`{wanted}` is a prerelease, which cannot be pinned"
        )));
    }
    let numbers = wanted.strip_prefix('v').unwrap_or(wanted);
    Ok(format!("{}{numbers}", if old.v { "v" } else { "" }))
}

/// The GitHub repository whose release contains the download, as `owner/name`.
///
/// # Errors
/// If the URL is not that of a release asset.
pub fn repository(download: &Download) -> Result<&str> {
    let path = download.url.strip_prefix("https://github.com/");
    let end = path.and_then(|path| path.find("/releases/download/"));
    path.zip(end)
        .map(|(path, end)| &path[..end])
        .filter(|name| name.matches('/').count() == 1)
        .ok_or_else(|| {
            Error::findings(format!(
                "`{}` is not the URL of a release asset on GitHub",
                download.url
            ))
        })
}

/// The URL of the same file in the version `to`.
pub fn moved_url(download: &Download, to: &str) -> String {
    let number = |version: &str| version.trim_start_matches('v').to_owned();
    let from = download.version.as_deref().map(number).unwrap_or_default();
    match from.is_empty() {
        true => download.url.clone(),
        false => download.url.replace(&from, &number(to)),
    }
}

/// The edits that move a download to the version `to`, whose file hashes to `sha256`.
pub fn download(pin: &Pin, download: &Download, to: &str, sha256: Digest) -> Vec<Edit> {
    let occurrences = pin.occurrences.iter().filter_map(|found| {
        let text = match found.field {
            Field::Version => to.to_owned(),
            Field::Url => moved_url(download, to),
            Field::Checksum => sha256.hex(),
            _ => return None,
        };
        Some(Edit::new(&found.at, text))
    });
    occurrences.collect()
}

/// The edits that move an action to the tag `to`, which names `commit`.
///
/// # Errors
/// If no comment names the version.
pub fn action(pin: &Pin, action: &Action, to: &str, commit: &Commit) -> Result<Vec<Edit>> {
    if action.tag.is_none() {
        let place = pin.place();
        return Err(Error::findings(format!(
            "{}:{}: no comment names the version of `{}`",
            place.path, place.line, action.repository
        ))
        .hint("run `cargo xtask verify-pins --offline`"));
    }
    let occurrences = pin.occurrences.iter().filter_map(|found| {
        let text = match found.field {
            Field::Commit => commit.to_string(),
            Field::Tag => to.to_owned(),
            _ => return None,
        };
        Some(Edit::new(&found.at, text))
    });
    Ok(occurrences.collect())
}

/// The edits that write `image` to every place of the pin.
pub fn image(pin: &Pin, image: &ImageRef) -> Vec<Edit> {
    let occurrences = pin
        .occurrences
        .iter()
        .filter(|found| found.field == Field::Reference);
    occurrences
        .map(|found| Edit::new(&found.at, image.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_the_same_form_is_the_target() {
        let tags = [
            "latest",
            "v1",
            "v1.2",
            "1.9.0",
            "v1.2.3",
            "v1.10.0",
            "v1.9.9",
            "v2.0.0-rc.1",
            "v1.3.0-alpine",
            "v1.4.0-alpine",
            "main",
        ];
        for (current, expected) in [
            ("v1.2.3", Some("v1.10.0")),
            ("v1.10.0", None),
            ("v1.11.0", None),
            ("1.2.3", Some("1.9.0")),
            ("v1.0", Some("v1.2")),
            ("v1.3.0-alpine", Some("v1.4.0-alpine")),
        ] {
            let found = target("x", current, None, tags).unwrap();
            assert_eq!(found.as_deref(), expected, "{current}");
        }
        assert!(target("x", "v1.2.3", None, ["latest", "v2"]).is_err());
        assert!(target("x", "latest", None, tags).is_err());
    }

    #[test]
    fn a_requested_version_may_be_older_but_not_a_prerelease() {
        for (current, wanted, expected) in [
            ("v1.2.3", "1.0.0", Some("v1.0.0")),
            ("1.2.3", "v1.0.0", Some("1.0.0")),
            ("v1.2.3", "v2.0.0-rc.1", None),
            ("v1.2.3", "latest", None),
            ("1.2.3-alpine", "1.3.0-alpine", Some("1.3.0-alpine")),
        ] {
            let found = target("x", current, Some(wanted), []).ok().flatten();
            assert_eq!(found.as_deref(), expected, "{wanted}");
        }
    }

    #[test]
    fn the_version_changes_everywhere_in_the_url() {
        let file = |url: &str, version: &str| Download {
            tool: "t".to_owned(),
            version: Some(version.to_owned()),
            architecture: None,
            url: url.to_owned(),
            sha256: Digest::of(b""),
        };
        let base = "https://github.com/o/r/releases/download";
        let with_v = file(&format!("{base}/v1.2.3/t_1.2.3.deb"), "1.2.3");
        assert_eq!(
            moved_url(&with_v, "1.3.0"),
            format!("{base}/v1.3.0/t_1.3.0.deb")
        );
        let plain = file(&format!("{base}/v1.2.3/t"), "v1.2.3");
        assert_eq!(moved_url(&plain, "v1.3.0"), format!("{base}/v1.3.0/t"));
        assert_eq!(repository(&plain).unwrap(), "o/r");
        assert!(repository(&file("https://x.example/o/r/releases/download/t", "1.2")).is_err());
    }
}
