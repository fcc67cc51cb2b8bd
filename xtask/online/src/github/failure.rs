//! Translates octocrab's errors into our kinds.

use std::fmt;

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
    let limited = error.headers.as_ref().is_some_and(|headers| {
        headers.contains_key(header::RETRY_AFTER)
            || headers
                .get("x-ratelimit-remaining")
                .is_some_and(|left| left == "0")
    });
    if limited {
        return NetError::unreachable(url, format!("rate limit: {}", excerpt(&said)));
    }
    NetError::status(url, error.status_code.as_u16(), &said)
}
