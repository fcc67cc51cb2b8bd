//! Translates octocrab's errors into ours.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header;
use octocrab::{Error, GitHubError};

use crate::error::{NetError, Rejection, excerpt};

/// Translates `error`, which is about `url`.
pub(super) fn translate(url: impl fmt::Display, error: Error) -> NetError {
    match error {
        Error::GitHub { source, .. } => refused(url, &source),
        Error::Reqwest { source, .. } => NetError::reqwest(url, source),
        // The original error, wrapped by the layers above it.
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
    if let Some(rejection) = rejection(status, &said) {
        let detail = format!("status {status}: {}", excerpt(&said));
        return NetError::rejected(url, rejection, detail);
    }
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

/// Detects requests that GitHub rejects for good, by the messages observed in late 2026. Violations of repository rules
/// also use statuses other than 422.
fn rejection(status: u16, said: &str) -> Option<Rejection> {
    let says = |words: &str| said.contains(words);
    match () {
        () if says("was used by an immutable release") || says("immutable_release_tag") => {
            Some(Rejection::BurntTag)
        }
        () if says("immutable release") => Some(Rejection::Immutable),
        () if says("must have a valid tag") => Some(Rejection::NoTag),
        () if says("GH013") || says("Repository rule violations") => Some(Rejection::Ruleset),
        () if says("already_exists") => Some(Rejection::Taken),
        () if matches!(status, 409 | 422) => Some(Rejection::Invalid),
        () => None,
    }
}

/// The time until GitHub's rate limit resets.
fn until_reset(headers: &header::HeaderMap) -> Option<Duration> {
    let reset = headers.get("x-ratelimit-reset")?.to_str().ok()?;
    let reset = UNIX_EPOCH + Duration::from_secs(reset.parse().ok()?);
    Some(reset.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permanent_rejections_are_recognized_by_their_messages() {
        for (status, said, known) in [
            (
                422,
                "Cannot upload assets to an immutable release",
                Some(Rejection::Immutable),
            ),
            (
                422,
                "Validation Failed; {\"resource\":\"ReleaseAsset\",\"code\":\"custom\",\"message\":\"Cannot delete asset from an immutable release\"}",
                Some(Rejection::Immutable),
            ),
            (
                422,
                "Validation Failed; tag_name was used by an immutable release",
                Some(Rejection::BurntTag),
            ),
            (
                422,
                "Published releases must have a valid tag",
                Some(Rejection::NoTag),
            ),
            (
                422,
                "GH013: Repository rule violations found; source immutable_release_tag",
                Some(Rejection::BurntTag),
            ),
            (
                403,
                "GH013: Repository rule violations found",
                Some(Rejection::Ruleset),
            ),
            (
                422,
                "Validation Failed; {\"code\":\"already_exists\",\"field\":\"name\"}",
                Some(Rejection::Taken),
            ),
            (
                422,
                "Latest release cannot be draft or prerelease",
                Some(Rejection::Invalid),
            ),
            (403, "Resource not accessible by integration", None),
            (404, "Not Found", None),
        ] {
            assert_eq!(rejection(status, said), known, "{status} {said}");
        }
    }
}
