//! One policy for trying again: only when the server was not reached or wants fewer requests, a
//! few times, with backoff and jitter, as late as the server asks, and never past the deadline.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::endpoint::Patience;
use crate::error::NetError;

/// The longest wait that a server may ask for: GitHub counts requests by the hour.
const LONGEST: Duration = Duration::from_secs(65 * 60);

/// Runs `operation` until it succeeds, fails for a reason that a retry does not mend, has used up
/// the attempts, or would have to wait past the deadline; the last error then tells how many
/// attempts there were.
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
        .when(NetError::is_passing)
        .adjust(|error: &NetError, planned| pause(&patience, error.wait, planned?))
        .notify(|_, _| attempts += 1)
        .await;
    result.map_err(|mut error| {
        if !error.is_passing() {
            return error;
        }
        let too_long = |wait: &Duration| *wait > LONGEST || patience.left(*wait) < *wait;
        if let Some(wait) = error.wait.filter(too_long) {
            let seconds = wait.as_secs();
            let limit = match wait > LONGEST {
                true => "longer than we do",
                false => "past the deadline",
            };
            error
                .detail
                .push_str(&format!(" (the server asks to wait {seconds} s, {limit})"));
        } else if attempts > 1 {
            error.detail.push_str(&format!(" ({attempts} attempts)"));
        }
        error
    })
}

/// How long to wait before the next attempt: as planned, or longer where the server asks for it;
/// nothing where the deadline comes first or it is longer than [`LONGEST`].
fn pause(patience: &Patience, asked: Option<Duration>, planned: Duration) -> Option<Duration> {
    let pause = asked.map_or(planned, |asked| asked.max(planned));
    (pause <= LONGEST && patience.left(pause) == pause).then_some(pause)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_server_may_ask_for_more_time_but_not_past_the_deadline() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let patience = Patience::default();
        assert_eq!(pause(&patience, None, second), Some(second));
        assert_eq!(pause(&patience, Some(minute), second), Some(minute));
        assert_eq!(pause(&patience, Some(Duration::ZERO), second), Some(second));
        assert_eq!(pause(&patience, Some(Duration::MAX), second), None);
        let pressed = Patience {
            deadline: Some(Instant::now() + Duration::from_secs(10)),
            ..patience
        };
        assert_eq!(pause(&pressed, None, second), Some(second));
        assert_eq!(pause(&pressed, Some(minute), second), None);
    }
}
