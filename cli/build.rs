//! Packs what Phase 2 transfers into the VM: the compose file, the configuration and the
//! scripts, as one deterministic tar that the program embeds.
//!
//! Modes are decided here, not read from the file system (Windows has none): what starts with
//! `#!` is 0755, everything else 0644.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use polis_base::archive::{EXECUTABLE, Files, PLAIN, without_cr};

/// What the VM gets, relative to `compose/`. The waivers and the map of the folder stay here.
const BUNDLED: [&str; 3] = ["docker-compose.yml", "config", "scripts"];

fn main() -> Result<(), Box<dyn Error>> {
    let compose = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../compose");
    let mut files = Files::new();
    for name in BUNDLED {
        let path = compose.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, name, &mut files)?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    fs::write(out.join("bundle.tar"), files.to_tar()?)?;
    println!("cargo::rerun-if-env-changed=POLIS_RELEASE_LABEL");
    let version = std::env::var("CARGO_PKG_VERSION")?;
    // A build that no release made says so.
    let label = std::env::var("POLIS_RELEASE_LABEL").unwrap_or(format!("{version}-dev"));
    println!("cargo::rustc-env=POLIS_LABEL={label}");
    Ok(())
}

/// Adds `path`, a file or a directory, to `files` as `name`.
fn collect(path: &Path, name: &str, files: &mut Files) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let inner = entry
                .file_name()
                .into_string()
                .map_err(|name| format!("`{}` is not a name for an archive", name.display()))?;
            collect(&entry.path(), &format!("{name}/{inner}"), files)?;
        }
        return Ok(());
    }
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let bytes = without_cr(&bytes);
    let mode = if bytes.starts_with(b"#!") {
        EXECUTABLE
    } else {
        PLAIN
    };
    files.add(name, mode, bytes);
    Ok(())
}
