//! Runs the verbs that need the network for `cargo xtask`.

use std::process::ExitCode;

use xtask::cli::{Cli, ImagesVerb, Package, Verb};
use xtask::error::{Error, Outcome, Result};
use xtask::report::Report;
use xtask::workspace::Workspace;

mod context;
mod failure;
mod release;
mod verbs;

use context::Context;

fn main() -> ExitCode {
    xtask::program::main(Package::Online, run)
}

/// Runs one verb on a runtime of its own, until it ends or Ctrl-C does.
fn run(cli: &Cli, workspace: &Workspace) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::machine("cannot start the runtime").because(error.to_string()))?;
    let context = Context::new(cli, workspace)?;
    let verb = cli.verb.clone();
    runtime.block_on(async {
        let mut work = tokio::spawn(dispatch(verb, context));
        tokio::select! {
            done = &mut work => done.unwrap_or_else(|error| Err(crashed(&error))),
            _ = tokio::signal::ctrl_c() => {
                // Dropping the work removes its temporary files.
                work.abort();
                let _ = (&mut work).await;
                Err(Error::new(Outcome::Interrupted, "interrupted").hint("run the same command again: it goes on from what is there"))
            }
        }
    })
}

async fn dispatch(verb: Verb, context: Context) -> Result<Report> {
    match verb {
        Verb::Images(ImagesVerb::Push(args)) => verbs::images::push(&context, &args).await,
        Verb::Pin(args) => verbs::pin::run(&context, &args).await,
        Verb::VerifyPins(args) => verbs::verify_pins::run(&context, &args).await,
        Verb::Update(verb) => verbs::update::run(&context, &verb).await,
        Verb::VerifyImages(args) => verbs::verify_images::run(&context, &args).await,
        Verb::VerifyChecksums => verbs::checksums::run(&context).await,
        Verb::Drift(args) => verbs::drift::run(&context, &args).await,
        Verb::Release(args) => verbs::release::release(context, &args).await,
        other => Err(Error::usage(format!(
            "`{}` is answered elsewhere",
            other.name()
        ))),
    }
}

fn crashed(error: &tokio::task::JoinError) -> Error {
    Error::machine("the verb crashed").because(error.to_string())
}
