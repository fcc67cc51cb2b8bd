//! Runs the verbs that need the network for `cargo xtask`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use xtask_host::error::{Error, Outcome, Result};
use xtask_host::program;
use xtask_host::report::Report;
use xtask_host::workspace::Workspace;
use xtask_online::args::{ImagesVerb, Verb};

mod context;
mod failure;
mod logging;
mod release;
mod verbs;

use context::Context;

/// How long to wait at exit for threads that still block. Those that write a file finish within this time.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    program::main(run)
}

/// Runs one verb on its own runtime, until it or a signal ends it.
fn run(cli: &program::Cli<Verb>, workspace: &Workspace) -> Result<Report> {
    logging::start(cli.global.verbose)?;
    let context = Context::new(cli, workspace)?;
    let verb = cli.verb.clone();
    on_a_runtime(async {
        let mut work = tokio::spawn(dispatch(verb, context));
        tokio::select! {
            done = &mut work => done.unwrap_or_else(|error| Err(crashed(&error))),
            () = stopped() => {
                // Dropping the task removes its temporary files.
                work.abort();
                let _ = (&mut work).await;
                Err(Error::new(Outcome::Interrupted, "interrupted").hint("run the same command again: it continues from where this one stopped"))
            }
        }
    })
}

/// Runs `work` to completion. Threads that still block afterwards are abandoned, because nothing can interrupt a DNS
/// lookup, which is a call into the C library.
fn on_a_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::machine("cannot start the runtime").because(error.to_string()))?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_BEHIND);
    done
}

/// Completes at the first signal that asks us to end. Signals that our parent set to be ignored stay ignored, as
/// `nohup` requires for HUP, and shells for INT in background jobs.
#[cfg(unix)]
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let wait = async |kind: SignalKind| match polis_base::signals::is_ignored(
        status.as_deref(),
        kind.as_raw_value(),
    ) {
        true => std::future::pending().await,
        false => match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        },
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

#[cfg(not(unix))]
async fn stopped() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

async fn dispatch(verb: Verb, context: Context) -> Result<Report> {
    match verb {
        Verb::Images(ImagesVerb::Push(args)) => verbs::images::push(&context, &args).await,
        Verb::Pin(args) => verbs::pin::run(&context, &args).await,
        Verb::VerifyPins(args) => verbs::verify_pins::run(&context, &args).await,
        Verb::Update(verb) => verbs::update::run(&context, &verb).await,
        Verb::VerifyImages(args) => verbs::verify_images::run(&context, &args).await,
        Verb::VerifyChecksums => verbs::checksums::run(&context).await,
        Verb::Drift(args) if args.pull_request => verbs::propose::run(&context, &args).await,
        Verb::Drift(args) => verbs::drift::run(&context, &args).await,
        Verb::Release(args) => release::verb::release(context, &args).await,
    }
}

fn crashed(error: &tokio::task::JoinError) -> Error {
    Error::machine("the verb crashed").because(error.to_string())
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_lookup_that_never_returns_does_not_delay_the_exit() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let begun = Instant::now();
        let done = on_a_runtime(async move {
            // Like the C library's `getaddrinfo` with an unresponsive name server.
            let blocked = tokio::task::spawn_blocking(move || receiver.recv());
            let _ = tokio::time::timeout(Duration::from_millis(10), blocked).await;
            Ok(())
        });
        assert!(done.is_ok());
        assert!(begun.elapsed() < Duration::from_secs(60));
        drop(sender);
    }
}
