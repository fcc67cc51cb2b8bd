//! The retry policy: a few attempts, only if the server was unreachable or limits requests, with backoff and jitter,
//! never earlier than the server asks and never past the deadline.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use tracing::info;

use crate::error::NetError;

/// Timeouts and retries of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The timeout for connecting.
    pub connect: Duration,
    /// The timeout for the next bytes of a response.
    pub read: Duration,
    /// The number of retries.
    pub retries: usize,
    /// The pause before the first retry; doubled before each later one.
    pub delay: Duration,
    /// When to give up, even if a server asks to wait longer.
    pub deadline: Option<Instant>,
}

impl RetryPolicy {
    /// The part of `limit` that is left before the deadline.
    pub(crate) fn left(&self, limit: Duration) -> Duration {
        match self.deadline {
            Some(deadline) => limit.min(deadline.saturating_duration_since(Instant::now())),
            None => limit,
        }
    }
}

impl Default for RetryPolicy {
    /// For a CI runner: four attempts over some seconds.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(60),
            retries: 3,
            delay: Duration::from_millis(500),
            deadline: None,
        }
    }
}

/// The longest wait that a server may ask for; GitHub's limits are hourly.
const LONGEST: Duration = Duration::from_secs(65 * 60);

/// Runs `operation` until it succeeds, fails permanently, has used all attempts, or would have to wait past the
/// deadline. The last error then contains the number of attempts.
///
/// # Errors
/// The last error of `operation`.
pub(crate) async fn retry<T, F, Fut>(policy: RetryPolicy, operation: F) -> Result<T, NetError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, NetError>>,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(policy.delay)
        .with_max_times(policy.retries)
        .with_jitter();
    let mut attempts = 1_usize;
    let result = operation
        .retry(backoff)
        .when(NetError::is_temporary)
        .adjust(|error: &NetError, planned| pause(&policy, error.wait, planned?))
        .notify(|error, wait| {
            attempts += 1;
            let ms = wait.as_millis();
            // Not the error's text, which may be part of a body.
            info!(kind = ?error.kind, ms, attempt = attempts, "trying again");
        })
        .await;
    result.map_err(|mut error| {
        if !error.is_temporary() {
            return error;
        }
        let too_long = |wait: &Duration| *wait > LONGEST || policy.left(*wait) < *wait;
        if let Some(wait) = error.wait.filter(too_long) {
            let seconds = wait.as_secs();
            let limit = match wait > LONGEST {
                true => "too long",
                false => "past the deadline",
            };
            error.detail.push_str(&format!(
                " (the server asks to wait {seconds} s, which is {limit})"
            ));
        } else if attempts > 1 {
            error.detail.push_str(&format!(" ({attempts} attempts)"));
        }
        error
    })
}

/// The pause before the next attempt: `planned`, or what the server `asked` for if longer. `None` if it
/// would exceed the deadline or [`LONGEST`].
fn pause(policy: &RetryPolicy, asked: Option<Duration>, planned: Duration) -> Option<Duration> {
    let pause = asked.map_or(planned, |asked| asked.max(planned));
    (pause <= LONGEST && policy.left(pause) == pause).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_may_ask_for_more_time_but_not_past_the_deadline() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let policy = RetryPolicy::default();
        assert_eq!(pause(&policy, None, second), Some(second));
        assert_eq!(pause(&policy, Some(minute), second), Some(minute));
        assert_eq!(pause(&policy, Some(Duration::ZERO), second), Some(second));
        assert_eq!(pause(&policy, Some(Duration::MAX), second), None);
        let pressed = RetryPolicy {
            deadline: Some(Instant::now() + Duration::from_secs(10)),
            ..policy
        };
        assert_eq!(pause(&pressed, None, second), Some(second));
        assert_eq!(pause(&pressed, Some(minute), second), None);
    }
}
