//! The real `polis.exe`, run by Wine against a `multipass.exe`: what only Windows' users would meet otherwise.

#![cfg(target_os = "linux")]

mod alone;
#[path = "../it/update/forge.rs"]
mod forge;
mod machine;
#[expect(dead_code, reason = "the tests on Linux ask more of it")]
#[path = "../it/update/server.rs"]
mod server;
mod update;
mod whole;
