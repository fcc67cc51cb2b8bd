//! What `-v` and `RUST_LOG` tell on standard error.
//!
//! Only events of this crate are told: the libraries beneath log headers, and with them tokens.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::time::uptime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use xtask_host::error::{Error, Result};
use xtask_host::say;

/// The variable that asks for a log, as `debug` or `xtask_online::registry=debug`.
const VARIABLE: &str = "RUST_LOG";
/// Where every event of ours comes from.
const OURS: &str = "xtask_online";

/// Starts the log that `verbose`, the number of `-v`, asks for, else the one of `RUST_LOG`.
///
/// # Errors
/// When `RUST_LOG` cannot be read as a filter.
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
    // An error only says that there is a log already.
    let _ = tracing::subscriber::set_global_default(registry().with(lines));
    Ok(())
}

/// The events to log; `None` unless `-v` or the variable asks for some.
fn filter(verbose: u8, variable: &str) -> Result<Option<Targets>> {
    match (verbose, variable) {
        (0, "") => Ok(None),
        (0, text) => text.parse().map(Some).map_err(|error| {
            Error::usage(format!("{VARIABLE} is not a filter"))
                .because(format!("{error}"))
                .hint(format!(
                    "as in `{VARIABLE}=info` or `{VARIABLE}={OURS}::registry=debug`"
                ))
        }),
        (1, _) => Ok(Some(Targets::new().with_default(Level::INFO))),
        (_, _) => Ok(Some(Targets::new().with_default(Level::DEBUG))),
    }
}

/// Standard error, to which the log writes a line at a time.
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
    fn options_come_before_the_environment() {
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
