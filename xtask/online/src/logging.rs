//! The log on standard error, enabled by `-v` or `RUST_LOG`.
//!
//! Only events of this crate are logged, because the libraries log headers and thus tokens.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::time::uptime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use xtask_host::error::{Error, Result};
use xtask_host::say;

/// The variable with the log filter, such as `debug` or `xtask_online::registry=debug`.
const VARIABLE: &str = "RUST_LOG";
/// The target of all our events.
const OURS: &str = "xtask_online";

/// Starts the log for `verbose`, the number of `-v`, or else for `RUST_LOG`.
///
/// # Errors
/// If `RUST_LOG` is not a valid filter.
pub(crate) fn start(verbose: u8) -> Result<()> {
    let variable = std::env::var(VARIABLE).unwrap_or_default();
    let Some(filter) = filter(verbose, &variable)? else {
        return Ok(());
    };
    let lines = fmt::layer()
        .with_ansi(false)
        .with_timer(uptime())
        .with_writer(|| Lines)
        .with_filter(filter)
        .with_filter(filter_fn(|event| event.target().starts_with(OURS)));
    // Fails only if logging has already started.
    let _ = tracing::subscriber::set_global_default(registry().with(lines));
    Ok(())
}

/// The events to log; `None` if neither `-v` nor the variable asks for any.
fn filter(verbose: u8, variable: &str) -> Result<Option<Targets>> {
    match (verbose, variable) {
        (0, "") => Ok(None),
        (0, text) => text.parse().map(Some).map_err(|error| {
            Error::usage(format!("invalid filter in {VARIABLE}"))
                .because(format!("{error}"))
                .hint(format!(
                    "as in `{VARIABLE}=info` or `{VARIABLE}={OURS}::registry=debug`"
                ))
        }),
        (1, _) => Ok(Some(Targets::new().with_default(Level::INFO))),
        (_, _) => Ok(Some(Targets::new().with_default(Level::DEBUG))),
    }
}

/// Standard error, one line at a time.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        say::note(String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_take_precedence_over_the_environment() {
        let told = |verbose, variable: &str, level| {
            let filter = filter(verbose, variable).unwrap();
            filter.is_some_and(|filter| filter.would_enable("xtask_online::client", &level))
        };
        assert!(!told(0, "", Level::ERROR));
        assert!(told(0, "info", Level::INFO) && !told(0, "info", Level::DEBUG));
        assert!(!told(0, "xtask_online::registry=debug", Level::INFO));
        assert!(told(1, "off", Level::INFO) && !told(1, "debug", Level::DEBUG));
        assert!(told(2, "", Level::DEBUG));
        assert!(filter(0, "a=b=c").is_err());
    }
}
