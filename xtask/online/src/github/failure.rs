//! Translates octocrab's errors into our kinds.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::header;
use octocrab::{Error, GitHubError};

use crate::error::{NetError, excerpt};

/// The error `error`, told about `url`.
pub(super) fn translate(url: impl fmt::Display, error: Error) -> NetError {
    match error {
        Error::GitHub { source, .. } => refused(url, &source),
        Error::Reqwest { source, .. } => NetError::reqwest(url, source),
        // What the request failed with, wrapped by the layers above it.
        Error::Service { source, .. } => match source.downcast::<Error>() {
            Ok(inner) => match *inner {
                Error::Reqwest { source, .. } => NetError::reqwest(url, source),
                other => NetError::protocol(url, other.to_string()),
            },
            Err(source) => NetError::protocol(url, source.to_string()),
        },
        other => NetError::protocol(url, other.to_string()),
    }
}

fn refused(url: impl fmt::Display, error: &GitHubError) -> NetError {
    let mut said = error.message.clone();
    for error in error.errors.iter().flatten() {
        said.push_str(&format!("; {error}"));
    }
    let status = error.status_code.as_u16();
    let Some(headers) = &error.headers else {
        return NetError::status(url, status, &said);
    };
    let spent = headers
        .get("x-ratelimit-remaining")
        .is_some_and(|left| left == "0");
    if spent || headers.contains_key(header::RETRY_AFTER) {
        let mut error = NetError::rate_limited(url, excerpt(&said)).after(headers);
        error.wait = error.wait.or_else(|| until_reset(headers));
        return error;
    }
    NetError::status(url, status, &said)
}

/// How long it is until GitHub counts anew.
fn until_reset(headers: &header::HeaderMap) -> Option<Duration> {
    let reset = headers.get("x-ratelimit-reset")?.to_str().ok()?;
    let reset = UNIX_EPOCH + Duration::from_secs(reset.parse().ok()?);
    Some(reset.duration_since(SystemTime::now()).unwrap_or_default())
}
