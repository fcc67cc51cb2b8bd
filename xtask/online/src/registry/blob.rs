//! Reads a large blob as a stream: hashes and counts it as it arrives, and keeps none of it.
//!
//! After a broken connection the download resumes where it stopped. That is safe because the final digest covers
//! everything that was passed on.

use bytes::Bytes;
use polis_base::{Digest, ImageRef};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, mpsc};

use super::Registry;
use crate::client::in_time;
use crate::error::NetError;
use crate::retry::retry;

/// The result of streaming a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    /// The content matches the digest and the size.
    Whole,
    /// The size is not the one in the manifest; holds the size that was found, in words.
    Size(String),
    /// The size is right, but the content has this digest.
    Digest(Digest),
}

/// How far a blob has come, over all attempts.
struct Progress {
    hasher: Sha256,
    done: u64,
}

impl Registry {
    /// Streams the blob `digest` of `size` bytes from the repository of `image` into `into`. If the receiver is closed,
    /// the blob is still read and verified. `progress` gets the number of bytes so far.
    ///
    /// # Errors
    /// By the status; `Unreachable` or `RateLimited` after all retries, each of which resumes where the last one stopped.
    pub(crate) async fn stream_blob(
        &self,
        image: &ImageRef,
        (digest, size): (Digest, u64),
        into: mpsc::Sender<Bytes>,
        progress: impl Fn(u64),
    ) -> Result<Received, NetError> {
        let path = format!("blobs/{digest}");
        let state = Mutex::new(Progress {
            hasher: Sha256::new(),
            done: 0,
        });
        let ended = retry(self.endpoints.retry_policy(), || async {
            let mut state = state.lock().await;
            let attempt = async {
                let response = self.access.open(image, &path, state.done).await?;
                attempt(image, response, size, &mut state, &into, &progress).await
            };
            in_time(&self.endpoints, &path, attempt).await
        })
        .await
        .map_err(|error| error.about(image.unpinned()))?;
        if let Some(wrong) = ended {
            return Ok(Received::Size(wrong));
        }
        Ok(match Digest::from_hasher(state.into_inner().hasher) {
            found if found == digest => Received::Whole,
            found => Received::Digest(found),
        })
    }
}

/// One attempt, starting at `state`. If the registry sent everything and the size is not `size`, returns the actual
/// size.
async fn attempt(
    image: &ImageRef,
    mut response: Response,
    size: u64,
    state: &mut Progress,
    into: &mpsc::Sender<Bytes>,
    progress: &impl Fn(u64),
) -> Result<Option<String>, NetError> {
    // A server that ignores the range sends everything again.
    let mut skip = match response.status() {
        StatusCode::PARTIAL_CONTENT => resumes_at(image, &response, state.done)?,
        _ => state.done,
    };
    let promised = response
        .content_length()
        .map(|left| left + state.done - skip);
    if let Some(promised) = promised.filter(|promised| *promised != size) {
        return Ok(Some(format!("{promised} bytes")));
    }
    loop {
        let next = response.chunk().await;
        let mut piece = match next {
            Ok(Some(piece)) => piece,
            Ok(None) if state.done == size => return Ok(None),
            Ok(None) => return Ok(Some(format!("{} bytes", state.done))),
            Err(_) if state.done == size => return Ok(None),
            Err(_) => {
                let reason = format!("truncated at {} of {size} bytes", state.done);
                return Err(NetError::unreachable(image, reason));
            }
        };
        let known = skip.min(piece.len() as u64);
        skip -= known;
        let _ = piece.split_to(usize::try_from(known).unwrap_or(piece.len()));
        state.done += piece.len() as u64;
        if state.done > size {
            return Ok(Some(format!("more than {size} bytes")));
        }
        state.hasher.update(&piece);
        progress(state.done);
        if !piece.is_empty() && !into.is_closed() {
            let _ = into.send(piece).await;
        }
    }
}

/// How many bytes of a partial response are already known: 0 if it begins at `from`.
///
/// # Errors
/// If it begins elsewhere.
fn resumes_at(image: &ImageRef, response: &Response, from: u64) -> Result<u64, NetError> {
    let range = response.headers().get(CONTENT_RANGE);
    let range = range
        .and_then(|range| range.to_str().ok())
        .unwrap_or_default();
    match range.starts_with(&format!("bytes {from}-")) {
        true => Ok(0),
        false => {
            let reason = format!("requested the bytes from {from}, got the range `{range}`");
            Err(NetError::protocol(image, reason))
        }
    }
}
