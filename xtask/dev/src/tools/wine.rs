//! Wine, which runs `polis.exe`. Unpacked instead of installed, with the C library of the Debian that it comes from:
//! Debian 12's lacks a library that every Rust program needs.
//!
//! Console programs need only three more libraries; the other 190 packages that Wine depends on are for windows, sound
//! and video. Wine's own Windows programs are used in place, because a full prefix would be 770 MB of copies that take
//! 5 s to make.

use std::fs;
use std::path::{Path, PathBuf};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;

use super::debian::{self, SUITE};

const WHY: &str = "runs polis.exe, to test the code for Windows and not only compile it";

/// Wine, and the packages that it cannot start without.
const PACKAGES: [&str; 6] = [
    "wine64",
    "libwine",
    "libz-mingw-w64",
    "libc6",
    "libunwind8",
    "liblzma5",
];

/// Wine restarts itself under this name, with the linker that loaded it.
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

/// Replaces Debian's script, which contains paths of an installed system.
const WINESERVER: &str = r#"#!/bin/sh
here=${0%/*}
exec "$here/ld.so" --library-path "$here/../x86_64-linux-gnu" "$here/wineserver64" -p0 "$@"
"#;

/// The message about what is skipped without Wine, if it is missing.
pub(super) fn missing() -> Option<String> {
    (!installed("wine")).then(|| format!("wine: {WHY}"))
}

/// Unpacks Wine below the build directory, and returns the directory of the program `wine`.
pub(super) fn provide(workspace: &Workspace, progress: Progress) -> Result<PathBuf> {
    let purpose = format!("unpacking {SUITE}'s Wine below target/: it {WHY} (115 MB, once)");
    let unpacked =
        debian::unpack_together(workspace, "wine", &PACKAGES, &purpose, progress, adapt)?;
    let dir = unpacked.join("usr/lib/wine");
    // Write them each time, because an older version of this code may have unpacked Wine.
    for (name, script) in [("wine", WINE), ("wineserver", WINESERVER)] {
        let file = dir.join(name);
        write::atomically(&file, script.as_bytes())?;
        write::set_mode(&file, write::EXECUTABLE)?;
    }
    Ok(dir)
}

/// Makes the files unpacked to `root` work there.
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
    // The server looks for its data one level deeper than where the package has it.
    let data = usr.join("share/wine/wine");
    Run::new("ln")
        .args(["-s", "."])
        .arg(&data)
        .output()
        .map(drop)
}
