//! Runs the real `polis.exe` under Wine against a `multipass.exe`, to find problems that only Windows users would meet.

#![cfg(target_os = "linux")]

mod alone;
#[path = "../it/update/forge.rs"]
mod forge;
mod machine;
#[expect(dead_code, reason = "only the Linux tests use the rest")]
#[path = "../it/update/server.rs"]
mod server;
mod update;
mod whole;
