//! A tree with many pins.

use std::fmt::Write as _;

use tempfile::TempDir;

use xtask_host::error::{Error, Result};
use xtask_host::workspace::{LANDMARK, Workspace};
use xtask_host::write;
use xtask_pins::inventory::TOOLCHAIN;
use xtask_pins::pins_env::CLOUD_INIT;
use xtask_pins::waivers;

/// A tree with `services` services, each with its own image, and a quarter as many workflows.
pub(super) fn of(workspace: &Workspace, services: usize) -> Result<TempDir> {
    let dir = tempfile::tempdir();
    let dir = dir.map_err(|error| Error::io("create", &std::env::temp_dir(), &error))?;
    let put = |path: &str, text: &str| write::atomically(&dir.path().join(path), text.as_bytes());
    for path in [CLOUD_INIT, TOOLCHAIN] {
        put(path, &workspace.read(path)?.text)?;
    }
    put(waivers::PATH, "version: 1\nwaivers: []\n")?;
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let mut compose = "services:\n".to_owned();
    for number in 0..services {
        let _ = writeln!(
            compose,
            "  s{number}:\n    image: v.example/s{number}:v1@sha256:{digest}\n    restart: always"
        );
    }
    put(LANDMARK, &compose)?;
    for number in 0..services / 4 {
        let workflow = format!(
            "jobs:\n  a:\n    steps:\n      - uses: o/r@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v1.2.3\n      - run: docker pull v.example/s{number}:v1@sha256:{digest}\n"
        );
        put(&format!(".github/workflows/w{number}.yml"), &workflow)?;
    }
    Ok(dir)
}
