//! One policy for trying again: only when the server was not reached, a few times, with backoff.

use backon::{ExponentialBuilder, Retryable};

use crate::endpoint::Patience;
use crate::error::NetError;

/// Runs `operation` until it succeeds, fails for a reason that a retry does not mend, or has
/// used up the attempts; the last error then tells how many there were.
///
/// # Errors
/// The last error of `operation`.
pub(crate) async fn retry<T, F, Fut>(patience: Patience, operation: F) -> Result<T, NetError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, NetError>>,
{
    let policy = ExponentialBuilder::default()
        .with_min_delay(patience.delay)
        .with_max_times(patience.retries)
        .with_jitter();
    let mut attempts = 1_usize;
    let result = operation
        .retry(policy)
        .when(NetError::is_unreachable)
        .notify(|_, _| attempts += 1)
        .await;
    result.map_err(|mut error| {
        if error.is_unreachable() && attempts > 1 {
            error.detail.push_str(&format!(" ({attempts} attempts)"));
        }
        error
    })
}
