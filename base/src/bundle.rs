//! What of `compose/` the VM gets: the CLI's build script packs it, and a release checks that the
//! program carries exactly that.

use crate::archive::{EXECUTABLE, Files, PLAIN, without_cr};

/// What is packed, relative to `compose/`. The waivers and the map of the folder stay outside.
pub const PARTS: [&str; 3] = ["docker-compose.yml", "config", "scripts"];

/// The compose file's name in the bundle.
pub const COMPOSE: &str = PARTS[0];

/// Adds a file. Modes are decided here, not read from the file system (Windows has none): what
/// starts with `#!` is 0755, everything else 0644. Carriage returns of a checkout go.
pub fn add(files: &mut Files, path: &str, bytes: &[u8]) {
    let bytes = without_cr(bytes);
    let mode = if bytes.starts_with(b"#!") {
        EXECUTABLE
    } else {
        PLAIN
    };
    files.add(path, mode, bytes);
}
