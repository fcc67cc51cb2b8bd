//! `polis logs`: what the services print.

use std::io::IsTerminal;

use crate::args::LogsArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::run::Target;
use crate::handover::TerminalUse;

/// Shows the logs; returns the exit code.
///
/// # Errors
/// When there is no such service, or the workspace does not run.
pub(crate) fn run(context: &Context, args: &LogsArgs) -> Result<u8> {
    let mut words: Vec<String> = ["docker", "compose", "logs", "--tail"]
        .map(str::to_owned)
        .to_vec();
    words.push(args.tail.to_string());
    words.extend(args.follow.then(|| "--follow".to_owned()));
    if let Some(service) = &args.service {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !service.bytes().all(plain) || service.starts_with('-') || service.is_empty() {
            return Err(Error::new(
                Kind::Usage,
                format!("invalid name of a service `{service}`"),
            )
            .next("polis status   (lists them)"));
        }
        words.push(service.clone());
    }
    may_follow(context, args.follow)?;
    super::exec::enter(context, &words, Target::Stack, manner(args.raw))
}

/// Refuses to follow where what is followed would not come.
///
/// # Errors
/// Of kind `Usage`, on Windows when standard output is no console.
pub(super) fn may_follow(context: &Context, follow: bool) -> Result<()> {
    if follow && !context.settings.pipes() && !std::io::stdout().is_terminal() {
        return Err(
            Error::new(Kind::Usage, "logs cannot be followed into a file here")
                .because("Multipass for Windows holds back what is not shown on a console")
                .next("polis logs   (without --follow)"),
        );
    }
    Ok(())
}

/// How a log is shown: what a terminal obeys comes through only where `raw` asks for it.
pub(super) fn manner(raw: bool) -> TerminalUse {
    match (
        std::io::stdout().is_terminal(),
        std::io::stdin().is_terminal(),
    ) {
        (true, _) if !raw => TerminalUse::Filtered,
        (true, true) => TerminalUse::Terminal,
        _ => TerminalUse::Streams,
    }
}
