//! Network errors, classified by what the caller can do about them.
//!
//! Every error names the URL or image reference that it is about. None contains a secret: reqwest's own URL is removed,
//! because that of a redirect may contain a signed query.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// A failed network operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {kind}{}", after_colon(detail))]
pub struct NetError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The URL or image reference of the request.
    pub url: String,
    /// A description; may be empty.
    pub detail: String,
    /// How long the server asks us to wait before the next attempt.
    pub wait: Option<Duration>,
}

/// The kinds of failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// No usable response: no connection, a timeout, a truncated body, a 5xx. Worth a retry.
    #[error("no usable response")]
    Unreachable,
    /// The server wants fewer requests (429, or GitHub's rate limit). Worth a retry, later.
    #[error("too many requests")]
    RateLimited,
    /// The server rejected our credentials, or their absence (401 or 403).
    #[error("access denied")]
    Unauthorised,
    /// The server does not have it (404 or 410).
    #[error("not found")]
    NotFound,
    /// An image lacks a platform on which it is used.
    #[error("a platform is missing")]
    MissingPlatform,
    /// The bytes are not the requested ones.
    #[error("expected {expected}, got {actual}")]
    Mismatch {
        /// The required digest or size.
        expected: String,
        /// The actual digest or size.
        actual: String,
    },
    /// The server understood the request and will never fulfil it.
    #[error("rejected")]
    Rejected(Rejection),
    /// An unacceptable response, reference or address.
    #[error("not acceptable")]
    Protocol,
    /// A local file could not be read or written.
    #[error("local file")]
    Local,
}

/// Why GitHub rejects a request, classified by the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The release is immutable: its tag and its files are frozen.
    Immutable,
    /// The tag belonged to a deleted immutable release, so it can never be used again.
    BurntTag,
    /// A release cannot be published without its tag.
    NoTag,
    /// A rule of the repository forbids it.
    Ruleset,
    /// The name is taken.
    Taken,
    /// The request is invalid.
    Invalid,
}

impl NetError {
    /// No usable response from `url`.
    pub(crate) fn unreachable(url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, url, detail)
    }

    /// `url` rejected our credentials, or their absence.
    pub(crate) fn unauthorised(url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthorised, url, detail)
    }

    /// `url` does not exist.
    pub(crate) fn not_found(url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, url, detail)
    }

    /// An invalid reference or address.
    pub fn unusable(url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::protocol(url, detail)
    }

    /// `url` served other bytes than expected.
    pub(crate) fn mismatch(
        url: impl fmt::Display,
        expected: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Self {
        let kind = ErrorKind::Mismatch {
            expected: expected.to_string(),
            actual: actual.to_string(),
        };
        Self::new(kind, url, "")
    }

    /// `url` sent an unacceptable response.
    pub(crate) fn protocol(url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, url, detail)
    }

    /// `url` rejected the request for good.
    pub(crate) fn rejected(
        url: impl fmt::Display,
        rejection: Rejection,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(ErrorKind::Rejected(rejection), url, detail)
    }

    /// The image `url` lacks a platform.
    pub(crate) fn missing_platform(url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::MissingPlatform, url, detail)
    }

    /// A local file could not be read or written while working on `url`.
    pub(crate) fn local(url: impl fmt::Display, path: &Path, error: &io::Error) -> Self {
        Self::new(
            ErrorKind::Local,
            url,
            format!("{}: {error}", path.display()),
        )
    }

    /// The error for an unsuccessful HTTP status; `said` is the server's explanation.
    pub(crate) fn status(url: impl fmt::Display, status: u16, said: &str) -> Self {
        let said = excerpt(said);
        let detail = match said.is_empty() {
            true => format!("status {status}"),
            false => format!("status {status}: {said}"),
        };
        match status {
            401 | 403 => Self::unauthorised(url, detail),
            404 | 410 => Self::not_found(url, detail),
            429 => Self::rate_limited(url, detail),
            408 | 500.. => Self::unreachable(url, detail),
            _ => Self::protocol(url, detail),
        }
    }

    /// `url` limits our requests.
    pub(crate) fn rate_limited(url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::RateLimited, url, detail)
    }

    /// Adds the wait that the server asks for in `Retry-After`.
    pub(crate) fn after(mut self, headers: &HeaderMap) -> Self {
        self.wait = retry_after(headers, SystemTime::now());
        self
    }

    /// Changes the subject to `url`.
    pub(crate) fn about(mut self, url: impl fmt::Display) -> Self {
        self.url = url.to_string();
        self
    }

    /// The error for a request that reqwest could not complete.
    pub(crate) fn reqwest(url: impl fmt::Display, error: reqwest::Error) -> Self {
        if let Some(status) = error.status() {
            return Self::status(url, status.as_u16(), "");
        }
        let timeout = error.is_timeout();
        let unusable = error.is_builder() || error.is_redirect();
        let error = error.without_url();
        match (timeout, unusable) {
            (true, _) => Self::unreachable(url, "no response in time"),
            (_, true) => Self::protocol(url, chain(&error)),
            _ => Self::unreachable(url, chain(&error)),
        }
    }

    /// Whether another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::RateLimited)
    }

    /// Whether the server reports that it does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// Whether another client may have done it already: the name is taken, or the release is public.
    pub fn is_settled(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Rejected(Rejection::Taken | Rejection::Immutable)
        )
    }

    fn new(kind: ErrorKind, url: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self {
            kind,
            url: url.to_string(),
            detail: detail.into(),
            wait: None,
        }
    }
}

/// The wait in `Retry-After`, given in seconds or as an HTTP date; zero for a date in the past.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// An error and its causes on one line, without causes that the text already contains.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// The beginning of a server's message, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}

/// `detail` after a colon; empty if there is none.
fn after_colon(detail: &str) -> String {
    match detail {
        "" => String::new(),
        _ => format!(": {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_determines_the_kind() {
        for (status, kind) in [
            (401, ErrorKind::Unauthorised),
            (403, ErrorKind::Unauthorised),
            (404, ErrorKind::NotFound),
            (410, ErrorKind::NotFound),
            (429, ErrorKind::RateLimited),
            (418, ErrorKind::Protocol),
            (500, ErrorKind::Unreachable),
            (503, ErrorKind::Unreachable),
        ] {
            assert_eq!(NetError::status("u", status, "").kind, kind, "{status}");
        }
    }

    #[test]
    fn retry_after_is_in_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 01 Nov 2026 10:00:00 GMT").unwrap();
        let wait = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("Sun, 01 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(wait("Sun, 01 Nov 2026 09:00:00 GMT"), Some(0));
        for text in ["-1", "soon", "1.5", ""] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn messages_of_servers_are_shortened() {
        let error = NetError::status("https://a.b/c", 500, &"x y\n".repeat(400));
        assert!(
            error
                .to_string()
                .starts_with("https://a.b/c: no usable response: status 500: x y x")
        );
        assert!(error.to_string().len() < 400);
    }
}
