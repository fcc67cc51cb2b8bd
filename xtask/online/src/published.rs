//! Compares the digest of an image with the list that its publisher attaches to each release.
//!
//! Downloads each list once, without credentials.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use polis_base::{Digest, ImageRef};
use reqwest::Client;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use tokio::sync::OnceCell;
use xtask_pins::contract::DigestList;

use crate::download::small_file;
use crate::endpoint::Endpoints;
use crate::error::{ErrorKind, NetError, excerpt};
use crate::state::{PinState, PinStatus};

/// The size limit for a list; an entry has about a hundred bytes.
const LARGEST: usize = 1024 * 1024;

/// The lists requested so far, by URL.
#[derive(Default)]
pub(crate) struct Lists(Mutex<BTreeMap<String, Arc<Slot>>>);

type Slot = OnceCell<Result<Digests, NetError>>;

/// A list: references with a tag, and the digest of each.
#[derive(Debug, PartialEq, Eq)]
struct Digests(BTreeMap<String, Digest>);

impl Lists {
    /// Whether the publisher's `list` for the release of `image` contains it with `digest`.
    pub(crate) async fn confirm(
        &self,
        (endpoints, client): (&Endpoints, &Client),
        list: &DigestList,
        image: &ImageRef,
        digest: Digest,
    ) -> PinState {
        let Some(tag) = image.tag() else {
            let reason = "its reference has no tag, so no release can list it";
            return PinState::because(PinStatus::Unconfirmed, reason);
        };
        let DigestList { repository, asset } = list;
        let url = format!("https://github.com/{repository}/releases/download/{tag}/{asset}");
        let slot = self.slot(&url);
        let listed = slot.get_or_init(|| async {
            let text = small_file(client, endpoints, &url, LARGEST).await?;
            parse(&text).map_err(|reason| NetError::protocol(&url, reason))
        });
        judge(listed.await, &url, image, digest)
    }

    fn slot(&self, url: &str) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(url.to_owned()).or_default())
    }
}

/// The state that the list at `url` gives to `image`, pinned to `digest`.
fn judge(
    list: &Result<Digests, NetError>,
    url: &str,
    image: &ImageRef,
    digest: Digest,
) -> PinState {
    match list {
        Ok(Digests(list)) => match list.get(&image.unpinned().to_string()) {
            Some(listed) if *listed == digest => PinState::ok(),
            Some(listed) => PinState {
                found: Some(listed.to_string()),
                ..PinState::because(PinStatus::Contradicted, format!("listed in {url}"))
            },
            None => PinState::because(PinStatus::Unconfirmed, format!("{url} does not list it")),
        },
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Protocol) => {
            PinState::because(PinStatus::Unconfirmed, error.to_string())
        }
        Err(error) => PinState::failed(error),
    }
}

/// Reads a list.
///
/// # Errors
/// If it is not a map of strings to digests, or has a duplicate key; with line and column.
fn parse(text: &[u8]) -> Result<Digests, String> {
    serde_json::from_slice(text).map_err(|error| excerpt(&error.to_string()))
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Digests;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of digests by reference")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Digests, A::Error> {
        let mut digests = BTreeMap::new();
        while let Some((image, digest)) = map.next_entry::<String, String>()? {
            let digest = digest
                .parse()
                .map_err(|error| A::Error::custom(format!("`{image}`: {error}")))?;
            match digests.entry(image) {
                Entry::Vacant(place) => place.insert(digest),
                Entry::Occupied(place) => {
                    let reason = format!("`{}` is listed twice", place.key());
                    return Err(A::Error::custom(reason));
                }
            };
        }
        Ok(Digests(digests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_must_be_a_map_to_digests() {
        let hex = Digest::of(b"x").hex();
        let whole = format!("{{\"g/o/a:v1\": \"sha256:{hex}\", \"g/o/b:v1\": \"sha256:{hex}\"}}");
        let Digests(list) = parse(whole.as_bytes()).unwrap();
        assert_eq!(list["g/o/b:v1"], Digest::of(b"x"));
        assert_eq!(list.len(), 2);
        for (text, said) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("<html>", "expected value at line 1 column 1"),
            (
                "[]",
                "invalid type: sequence, expected an object of digests by reference at line 1 column 0",
            ),
            (
                "{\"a\": 1}",
                "invalid type: integer `1`, expected a string at line 1 column 7",
            ),
            ("{} {}", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(said.to_owned()), "{text}");
        }
        let twice = whole.replace("b:v1", "a:v1");
        let said = parse(twice.as_bytes()).unwrap_err();
        assert!(
            said.starts_with("`g/o/a:v1` is listed twice at line 1"),
            "{said}"
        );
        for wrong in [
            &hex[..],
            "sha256:",
            &format!("sha512:{hex}"),
            &format!("sha256:{hex}0"),
        ] {
            let text = format!("{{\"g/o/a:v1\":\n \"{wrong}\"}}");
            let said = parse(text.as_bytes()).unwrap_err();
            assert!(said.starts_with("`g/o/a:v1`: "), "{said}");
            assert!(said.contains(" at line 2 column "), "{said}");
        }
    }
}
