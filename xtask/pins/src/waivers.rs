//! Waivers: images that may go unpinned for now, each with a reason and an expiry date.

use std::path::Path;

use crate::date::Date;
use crate::edit::Edit;
use crate::edit::Location;
use crate::yaml::{self, Node};
use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::source::{Place, Source};

/// The path of the waivers in the tree.
pub const PATH: &str = "compose/pin-waivers.yaml";

/// One waiver.
#[derive(Debug, Clone)]
pub struct Waiver {
    /// The image with its tag, exactly as the compose file names it.
    pub image: String,
    /// Why it is not pinned.
    pub reason: String,
    /// The last day on which it is valid.
    pub expires: Date,
    /// Its place.
    pub place: Place,
}

/// Reads the waivers of the tree at `root`.
///
/// # Errors
/// If the file cannot be read or is malformed; the error shows the places.
pub fn load(root: &Path) -> Result<Vec<Waiver>> {
    let source = Source::read(root, PATH)?;
    parse(&source).map_err(|findings| Error::in_file(PATH, findings))
}

/// Parses the waivers.
///
/// # Errors
/// One finding for each unknown key, missing field, invalid date and empty reason.
pub fn parse(source: &Source) -> std::result::Result<Vec<Waiver>, Vec<Finding>> {
    let root = yaml::parse(source).map_err(|finding| vec![*finding])?;
    let mut findings = Vec::new();
    for (key, value) in root.entries() {
        match (key.text(), &value.value) {
            (Some("version"), yaml::Value::Int(1)) | (Some("waivers"), yaml::Value::Seq(_)) => {}
            _ => findings.push(wrong(
                source,
                key,
                "expected `version: 1` and a list `waivers:`",
            )),
        }
    }
    if root.get("version").is_none() {
        findings.push(wrong(source, &root, "`version: 1` is missing"));
    }
    let items = root.get("waivers").map_or(&[][..], Node::items);
    let mut waivers = Vec::new();
    for item in items {
        match waiver(source, item) {
            Ok(waiver) => waivers.push(waiver),
            Err(more) => findings.extend(more),
        }
    }
    if findings.is_empty() {
        Ok(waivers)
    } else {
        Err(findings)
    }
}

/// The edits that turn waivers for the image `from` into waivers for `to`.
///
/// # Errors
/// If the file is malformed.
pub fn rename(
    source: &Source,
    from: &str,
    to: &str,
) -> std::result::Result<Vec<Edit>, Vec<Finding>> {
    let root = yaml::parse(source).map_err(|finding| vec![*finding])?;
    let items = root.get("waivers").map_or(&[][..], Node::items).iter();
    let images = items.filter_map(|item| item.get("image"));
    let spans = images
        .filter(|image| image.text() == Some(from))
        .filter_map(|image| yaml::text_span(source, image));
    Ok(spans
        .map(|span| Edit::new(&Location::new(source, span), to))
        .collect())
}

/// The edit that deletes all waivers of `source`; `None` without waivers.
///
/// # Errors
/// If the file is malformed.
pub fn delete_all(source: &Source) -> std::result::Result<Option<Edit>, Vec<Finding>> {
    if parse(source)?.is_empty() {
        return Ok(None);
    }
    let root = yaml::parse(source).map_err(|finding| vec![*finding])?;
    let Some((key, value)) = root.entry("waivers") else {
        return Ok(None);
    };
    // From the colon to the end of the last waiver. Comments below it stay.
    let colon = source.text[key.span.end..].find(':').unwrap_or_default();
    let start = key.span.end + colon + 1;
    let items = value.items().last();
    let entries = items.and_then(|item| item.entries().last());
    let mut end = entries.map_or(value.span.end, |(_, last)| last.span.end);
    // The span of a block includes the lines after it; that of `{}` and `[]` excludes the closing bracket.
    let around = [items.map(|item| (item, '{', '}')), Some((value, '[', ']'))];
    for (node, open, close) in around.into_iter().flatten() {
        if source.text[node.span.start..].starts_with(open) {
            end += source.text[end..].find(close).map_or(0, |at| at + 1);
        }
    }
    Ok(Some(Edit::new(&Location::new(source, start..end), " []")))
}

fn waiver(source: &Source, item: &Node) -> std::result::Result<Waiver, Vec<Finding>> {
    let mut findings = Vec::new();
    for (key, _) in item.entries() {
        if !matches!(key.text(), Some("image" | "reason" | "expires")) {
            findings.push(wrong(
                source,
                key,
                "a waiver has `image`, `reason` and `expires`",
            ));
        }
    }
    let mut field = |name: &str| {
        let text = item.get(name).and_then(Node::text).unwrap_or_default();
        if text.trim().is_empty() {
            findings.push(wrong(
                source,
                item,
                &format!("the waiver has no `{name}`, or it is not a string"),
            ));
        }
        text.to_owned()
    };
    let (image, reason, expires) = (field("image"), field("reason"), field("expires"));
    match parse_date(&expires) {
        Some(expires) if findings.is_empty() => Ok(Waiver {
            image,
            reason,
            expires,
            place: source.place(item.span.clone()),
        }),
        Some(_) => Err(findings),
        None => {
            if !expires.is_empty() {
                findings.push(wrong(
                    source,
                    item,
                    &format!("invalid date `{expires}`: expected YYYY-MM-DD"),
                ));
            }
            Err(findings)
        }
    }
}

fn wrong(source: &Source, node: &Node, message: &str) -> Finding {
    Finding::error("waiver-malformed", source.place(node.span.clone()), message)
}

/// Parses `YYYY-MM-DD`.
pub fn parse_date(text: &str) -> Option<Date> {
    text.parse().ok()
}

/// The day for judging waivers: `given`, else today in UTC.
///
/// # Errors
/// A usage error when `given` is not a date.
pub fn today(given: Option<&str>) -> Result<Date> {
    match given {
        None => Ok(Date::today()),
        Some(text) => parse_date(text).ok_or_else(|| {
            Error::usage(format!(
                "invalid value `{text}` for `--today`: expected YYYY-MM-DD"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> std::result::Result<Vec<Waiver>, Vec<Finding>> {
        parse(&Source {
            path: PATH.to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn reads_a_waiver() {
        let waivers = parsed("version: 1\nwaivers:\n  - image: ghcr.io/o/a:v1\n    reason: not looked up\n    expires: 2027-02-28\n").unwrap();
        assert_eq!(waivers[0].image, "ghcr.io/o/a:v1");
        assert_eq!(waivers[0].expires.to_string(), "2027-02-28");
    }

    #[test]
    fn deleting_all_waivers_keeps_everything_else() {
        let one = "  - image: ghcr.io/o/a:v1\n    reason: 'not: yet' # why\n    expires: \"2027-02-28\"\n";
        let two = "  - {image: a.b/o/b:v1, reason: x, expires: 2027-02-28}\n";
        let source = |text: String| Source {
            path: PATH.to_owned(),
            text,
        };
        for (items, rest) in [
            (one.to_owned(), ""),
            ([one, two].concat(), ""),
            ([one, one].concat(), "\n# the end\n"),
            (format!("{two}# between\n{one}"), "\n\n"),
            (
                format!("  [{}]\n", two.trim_start_matches("  - ").trim_end()),
                "# }]\n",
            ),
        ] {
            let before = format!("# é\nversion: 1\nwaivers: # all\n{items}{rest}");
            let before = source(before);
            let edit = delete_all(&before).expect("waivers").expect("an edit");
            let mut text = before.text.clone();
            text.replace_range(edit.span, &edit.text);
            assert_eq!(text, format!("# é\nversion: 1\nwaivers: []\n{rest}"));
            assert!(delete_all(&source(text)).expect("no waivers").is_none());
        }
        assert!(delete_all(&source("version: 1\nmore: 1\n".to_owned())).is_err());
    }

    #[test]
    fn malformed_waivers_are_refused() {
        for (text, message) in [
            ("version: 2\nwaivers: []\n", "expected `version: 1`"),
            ("waivers: []\n", "`version: 1` is missing"),
            (
                "version: 1\nwaivers: []\nmore: 1\n",
                "expected `version: 1`",
            ),
            (
                "version: 1\nwaivers:\n  - {image: a, reason: b}\n",
                "has no `expires`",
            ),
            (
                "version: 1\nwaivers:\n  - {image: a, reason: '', expires: 2027-01-01}\n",
                "has no `reason`",
            ),
            (
                "version: 1\nwaivers:\n  - {image: a, reason: b, expires: 2027-02-30}\n",
                "invalid date `2027-02-30`",
            ),
            (
                "version: 1\nwaivers:\n  - {image: a, reason: b, expires: 2027-02-03, who: c}\n",
                "a waiver has",
            ),
        ] {
            let findings = parsed(text).expect_err(text);
            assert!(
                findings.iter().any(|found| found.message.contains(message)),
                "{text}: {findings:?}"
            );
        }
    }
}
