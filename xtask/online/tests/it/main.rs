//! The network code against embedded servers and real programs, on loopback only.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

mod support;

mod access;
mod actions;
mod bench;
#[cfg(target_os = "linux")]
mod canary;
mod downloads;
mod drift;
mod gh;
mod github;
mod images;
#[cfg(unix)]
mod installers;
mod journal;
mod log;
mod mutation;
mod pin;
mod prism;
mod propose;
mod protocol;
mod publishers;
mod referrers;
mod registry;
mod registry_faults;
#[cfg(unix)]
mod release;
mod reports;
mod signatures;
mod skopeo;
mod states;
mod tokens;
mod twin;
mod update;
mod verbs;
