//! The part of `compose/` that goes into the VM. The CLI's build script packs it, and a release checks that the program contains
//! exactly that.

use crate::archive::{EXECUTABLE, Files, PLAIN, without_cr};

/// The packed paths, relative to `compose/`. Excludes the waivers and the README.
pub const PARTS: [&str; 3] = ["docker-compose.yml", "config", "scripts"];

/// The name of the compose file in the bundle.
pub const COMPOSE: &str = PARTS[0];

/// Adds a file. The mode does not come from the file system, since Windows has none: files that start with `#!` are 0755, all
/// others 0644. Carriage returns of a checkout are removed.
pub fn add(files: &mut Files, path: &str, bytes: &[u8]) {
    let bytes = without_cr(bytes);
    let mode = if bytes.starts_with(b"#!") {
        EXECUTABLE
    } else {
        PLAIN
    };
    files.add(path, mode, bytes);
}
