//! `polis logs`: the output of the services.

use std::io::IsTerminal;

use crate::args::LogsArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::run::Target;
use crate::handover::TerminalUse;

/// Shows the logs; returns the exit code.
///
/// # Errors
/// When there is no such service, or the workspace is not running.
pub(crate) fn run(context: &Context, args: &LogsArgs) -> Result<u8> {
    let mut words: Vec<String> = ["docker", "compose", "logs", "--tail"]
        .map(str::to_owned)
        .to_vec();
    words.push(args.tail.to_string());
    words.extend(args.follow.then(|| "--follow".to_owned()));
    if let Some(service) = &args.service {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !service.bytes().all(plain) || service.starts_with('-') || service.is_empty() {
            return Err(
                Error::new(Kind::Usage, format!("invalid service name `{service}`"))
                    .next("polis status   (lists them)"),
            );
        }
        words.push(service.clone());
    }
    may_follow(context, args.follow)?;
    super::exec::enter(context, &words, Target::Stack, terminal_use(args.raw))
}

/// Refuses `--follow` where Multipass would hold the output back.
///
/// # Errors
/// Of kind `Usage`, on Windows when standard output is not a console.
pub(super) fn may_follow(context: &Context, follow: bool) -> Result<()> {
    if follow && !context.settings.pipes() && !std::io::stdout().is_terminal() {
        return Err(Error::new(
            Kind::Usage,
            "on this system, logs can be followed only on a console",
        )
        .because("Multipass for Windows buffers output unless it goes to a console")
        .next("polis logs   (without --follow)"));
    }
    Ok(())
}

/// How a log is shown: control sequences reach a terminal only with `raw`.
pub(super) fn terminal_use(raw: bool) -> TerminalUse {
    match (
        std::io::stdout().is_terminal(),
        std::io::stdin().is_terminal(),
    ) {
        (true, _) if !raw => TerminalUse::Filtered,
        (true, true) => TerminalUse::Terminal,
        _ => TerminalUse::Streams,
    }
}
