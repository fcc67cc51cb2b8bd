//! Everything about `polis-init` that only the real binary on a real kernel can show, in one test
//! program.
#![cfg(target_os = "linux")]

mod bridge;
mod chown;
mod common;
mod forward;
mod guard;
mod namespace;
mod usage;
