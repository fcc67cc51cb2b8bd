//! Validates command lines of `cargo xtask` in workflows and documents.

use xtask::cli::{Cli, ImagesVerb, Verb};
use xtask_host::program;

/// Parses `line`, which starts with the name of a program, by `xtask` and by the program that owns the verb.
///
/// # Errors
/// The first line of clap's message. A missing argument that only shows help is accepted, because text may name a verb
/// without one.
pub(crate) fn parse(line: &[&str]) -> Result<(), String> {
    let cli = Cli::read(line);
    let parsed = match cli.as_ref().map(|cli| &cli.verb) {
        Ok(Verb::Check(_)) => program::Cli::<xtask_check::Verb>::read(line).map(drop),
        Ok(Verb::Dist(_) | Verb::Images(ImagesVerb::Build(_))) => {
            program::Cli::<xtask_dist::args::Verb>::read(line).map(drop)
        }
        Ok(Verb::Bench(_) | Verb::Ci(_) | Verb::Setup(_)) => {
            program::Cli::<xtask_dev::args::Verb>::read(line).map(drop)
        }
        Ok(Verb::Docs(_) | Verb::Images(ImagesVerb::List) | Verb::Lab(_) | Verb::Prepare(_)) => {
            Ok(())
        }
        Ok(_) => program::Cli::<xtask_online::args::Verb>::read(line).map(drop),
        Err(_) => cli.map(drop),
    };
    let help = clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    match parsed {
        Err(error) if error.kind() != help => {
            let message = error.to_string();
            Err(message.lines().next().unwrap_or_default().to_owned())
        }
        _ => Ok(()),
    }
}
