//! `polis-init`: the only program in the image of Polis's init containers and its forwarder.
//!
//! It exists so that the image contains nothing else: a container that runs as root, or with `NET_ADMIN` on the host's network, has
//! no shell, no package manager and no Docker socket. It has three commands, [`chown`], [`accept`] and [`forward`]; this file only
//! dispatches to them.

#![forbid(unsafe_code)]

// The only platform check: everything below uses Linux system calls. On other systems, the workspace only needs to compile.
#[cfg(target_os = "linux")]
mod accept;
#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod bridge;
#[cfg(target_os = "linux")]
mod chown;
#[cfg(target_os = "linux")]
mod forward;
#[cfg(target_os = "linux")]
mod guard;
#[cfg(target_os = "linux")]
mod guard_wire;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod ownership;
#[cfg(target_os = "linux")]
mod walk;
#[cfg(target_os = "linux")]
mod wire;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use args::Command;

    match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => args::print_help(),
        Ok(Command::Version) => args::print_version(),
        Ok(Command::Chown(request)) => chown::run(&request),
        Ok(Command::BridgeAccept(request)) => accept::run(&request),
        Ok(Command::Forward(request)) => forward::run(&request),
        Ok(Command::Listening(ports)) => forward::check(&ports),
        Err(error) => args::print_usage(&error),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("polis-init runs on Linux only");
    ExitCode::FAILURE
}
