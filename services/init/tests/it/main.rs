//! Tests of `polis-init` that need the real binary on a real kernel, in one test program.
#![cfg(target_os = "linux")]

mod bridge;
mod chown;
mod common;
mod forward;
mod guard;
mod namespace;
mod usage;
