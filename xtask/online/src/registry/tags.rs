//! The tags of a repository, page by page.

use polis_base::ImageRef;
use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;

use super::Registry;
use crate::error::NetError;

/// The page size to request.
const PAGE: usize = 1000;
/// The limit on pages, in case a registry never ends the list.
const MOST_PAGES: usize = 100;

#[derive(Deserialize)]
struct List {
    /// Registries write `null` for none.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags in the repository of `image`, in the registry's order.
    ///
    /// # Errors
    /// As every request; `Protocol` if the response is not a list, or the list does not end.
    pub async fn tags(&self, image: &ImageRef) -> Result<Vec<String>, NetError> {
        let mut tags = Vec::new();
        let mut query = format!("n={PAGE}");
        for _ in 0..MOST_PAGES {
            let path = format!("tags/list?{query}");
            let answer = self.access.request(image, Method::GET, &path).await?;
            let list: List = serde_json::from_slice(&answer.body).map_err(|error| {
                NetError::protocol(image, format!("not a list of tags: {error}"))
            })?;
            tags.extend(list.tags.unwrap_or_default());
            match next(&answer.headers) {
                Some(next) => query = next,
                None => return Ok(tags),
            }
        }
        Err(NetError::protocol(image, "its list of tags does not end"))
    }
}

/// The query of the next page. The rest of the link is ignored, to stay in the repository.
fn next(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (address, relation) = link.split_once(';')?;
    let is_next = relation.replace(['"', ' '], "").contains("rel=next");
    let (_, query) = address.trim().trim_end_matches('>').split_once('?')?;
    is_next.then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_link_to_the_next_page_is_followed() {
        for (link, query) in [
            (
                r#"</v2/o/a/tags/list?n=2&last=b>; rel="next""#,
                Some("n=2&last=b"),
            ),
            (
                "<https://x.example/v2/o/a/tags/list?last=b>; rel=next",
                Some("last=b"),
            ),
            (r#"</v2/o/a/tags/list?n=2>; rel="prev""#, None),
            ("</v2/o/a/tags/list>; rel=next", None),
            ("nonsense", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().expect("a header"));
            assert_eq!(next(&headers).as_deref(), query, "{link}");
        }
    }
}
