//! Wine, which runs `polis.exe`: unpacked and not installed, with the C library of its own Debian. Debian 12's lacks a
//! library that every Rust program needs.
//!
//! What it needs beside that for programs of a console is three libraries; the other 190 packages that it depends on are
//! for windows, sound and video. The programs for Windows are used where they stand: a user of Wine's, a "prefix", is
//! otherwise 770 MB of copies, made in 5 s.

use std::fs;
use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;

use super::debian::{self, SUITE};

const WHY: &str = "runs polis.exe, so that the code for Windows is not only compiled";

/// Wine, and what it cannot be started without.
const PACKAGES: [&str; 6] = [
    "wine64",
    "libwine",
    "libz-mingw-w64",
    "libc6",
    "libunwind8",
    "liblzma5",
];

/// Wine starts itself again under this name, beside the linker that has loaded it.
const WINE: &str = r#"#!/bin/sh
# Debian's Wine 10 crashes where this is set (`free(): invalid pointer`).
unset TMPDIR
here=${0%/*}
libraries=$here/../x86_64-linux-gnu
if [ -n "${WINEPREFIX-}" ] && [ ! -e "$WINEPREFIX/drive_c/windows/system32" ]; then
    mkdir -p "$WINEPREFIX/drive_c/windows"
    echo disable >"$WINEPREFIX/.update-timestamp"
    ln -s "$libraries/wine/x86_64-windows" "$WINEPREFIX/drive_c/windows/system32"
fi
exec "$here/ld.so" --library-path "$libraries" --argv0 "$0" "$here/wine64" "$@"
"#;

/// In place of Debian's own script, which names paths of an installed system.
const WINESERVER: &str = r#"#!/bin/sh
here=${0%/*}
exec "$here/ld.so" --library-path "$here/../x86_64-linux-gnu" "$here/wineserver64" -p0 "$@"
"#;

/// What is left out where there is no Wine.
pub(super) fn missing() -> Option<String> {
    (!installed("wine")).then(|| format!("wine: {WHY}"))
}

/// Unpacks Wine below the build directory, and returns the directory of the program `wine`.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let purpose = format!("unpacking {SUITE}'s Wine below target/: it {WHY} (115 MB, once)");
    let unpacked =
        debian::unpack_together(workspace, "wine", &PACKAGES, &purpose, progress, adapt)?;
    let dir = unpacked.join("usr/lib/wine");
    // Each time: an older version of this may have unpacked it.
    for (name, script) in [("wine", WINE), ("wineserver", WINESERVER)] {
        let file = dir.join(name);
        write::atomically(&file, script.as_bytes())?;
        write::set_mode(&file, write::EXECUTABLE)?;
    }
    Ok(dir)
}

/// Makes what was unpacked to `root` work there.
fn adapt(root: &Path) -> Result<()> {
    let usr = root.join("usr");
    let copy = |from: &str, to: &str| {
        let to = usr.join(to);
        let copied = fs::copy(usr.join(from), &to);
        copied
            .map(drop)
            .map_err(|error| Error::io("write", &to, &error))
    };
    copy(
        "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "lib/wine/ld.so",
    )?;
    copy(
        "x86_64-w64-mingw32/lib/zlib1.dll",
        "lib/x86_64-linux-gnu/wine/x86_64-windows/zlib1.dll",
    )?;
    // The server looks for its data one level deeper than the package has them.
    let data = usr.join("share/wine/wine");
    Run::new("ln")
        .args(["-s", "."])
        .arg(&data)
        .output()
        .map(drop)
}
