//! Packs the compose file, the configuration and the scripts for Phase 2 as one deterministic tar that the program embeds.
//!
//! Also extracts from the cloud-init file the digests of the files that it writes, and from the image contracts the architectures
//! for which all images are published. Finally writes the marker by which a release recognizes the program.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use polis_base::archive::{Files, without_cr};
use polis_base::facts::{self, Facts};
use polis_base::{Digest, bundle};
use saphyr::{LoadableYamlNode, Yaml};

fn main() -> Result<(), Box<dyn Error>> {
    let compose = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../compose");
    let mut files = Files::new();
    for name in bundle::PARTS {
        let path = compose.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, name, &mut files)?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let tar = files.to_tar()?;
    fs::write(out.join("bundle.tar"), &tar)?;
    let user_data = cloud_init(&out)?;
    println!(
        "cargo::rustc-env=POLIS_ARCHITECTURES={}",
        architectures(&compose.join("images"))?.join(" ")
    );
    println!("cargo::rerun-if-env-changed=POLIS_RELEASE_LABEL");
    let version = std::env::var("CARGO_PKG_VERSION")?;
    // Mark builds that are not releases.
    let label = std::env::var("POLIS_RELEASE_LABEL").unwrap_or(format!("{version}-dev"));
    println!("cargo::rustc-env=POLIS_LABEL={label}");
    let facts = Facts {
        label,
        compose: Digest::of(&without_cr(&fs::read(compose.join(bundle::COMPOSE))?)),
        cloud_init: user_data,
        bundle: Digest::of(&tar),
        key: key()?,
    };
    // Linux releases are static, and Windows releases use Microsoft's linker.
    let target = std::env::var("TARGET")?.replace("-linux-gnu", "-linux-musl");
    let target = target.replace("-windows-gnu", "-windows-msvc");
    println!("cargo::rustc-env=POLIS_RELEASE_TARGET={target}");
    let marked = facts
        .to_marked()
        .map_err(|error| format!("{error}: {facts:?}"))?;
    fs::write(out.join("facts"), marked)?;
    Ok(())
}

/// The key with which the program verifies releases. Only release builds get one: another build must be updated by its builder,
/// and never replaced by a release.
fn key() -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=POLIS_RELEASE_KEY");
    let key = std::env::var("POLIS_RELEASE_KEY").unwrap_or(facts::NO_KEY.to_owned());
    match key == facts::NO_KEY || facts::is_key(&key) {
        true => Ok(key),
        false => Err("POLIS_RELEASE_KEY is not a minisign public key".into()),
    }
}

/// The architectures, in Debian's terms, for which every image of the stack is published according to the contracts in `dir`. On any
/// other architecture, a VM could not pull all images.
fn architectures(dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut common: Option<BTreeSet<String>> = None;
    for entry in fs::read_dir(dir).map_err(|error| format!("`{}`: {error}", dir.display()))? {
        let path = entry?.path();
        let text =
            fs::read_to_string(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        let documents =
            Yaml::load_from_str(&text).map_err(|error| format!("`{}`: {error}", path.display()))?;
        let platforms = documents
            .first()
            .and_then(|document| document.as_mapping_get("platforms"))
            .and_then(Yaml::as_mapping)
            .ok_or_else(|| format!("`{}` has no `platforms`", path.display()))?;
        let of_image: BTreeSet<String> = platforms
            .values()
            .filter_map(Yaml::as_sequence)
            .flatten()
            .filter_map(|platform| platform.as_str()?.strip_prefix("linux/"))
            .map(str::to_owned)
            .collect();
        common = Some(match common {
            Some(common) => &common & &of_image,
            None => of_image,
        });
    }
    let common = common.unwrap_or_default();
    if common.is_empty() {
        return Err(format!(
            "no platform is common to all image contracts in `{}`",
            dir.display()
        )
        .into());
    }
    Ok(common.into_iter().collect())
}

/// Lists the files that the cloud-init file writes in the format of `sha256sum`, sorted. Returns the digest of the list.
fn cloud_init(out: &Path) -> Result<Digest, Box<dyn Error>> {
    let path =
        Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../cloud-init/cloud-init.yaml");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path)?;
    let documents = Yaml::load_from_str(&text)?;
    let files = documents
        .first()
        .and_then(|document| document.as_mapping_get("write_files"))
        .and_then(Yaml::as_sequence)
        .ok_or("cloud-init.yaml has no write_files")?;
    let mut lines = Vec::new();
    for file in files {
        let value = |key| file.as_mapping_get(key).and_then(Yaml::as_str);
        let (Some(path), Some(content)) = (value("path"), value("content")) else {
            return Err("an entry of write_files has no path or no content".into());
        };
        lines.push(format!(
            "{}  {path}\n",
            Digest::of(content.as_bytes()).hex()
        ));
    }
    lines.sort_unstable();
    fs::write(out.join("written"), lines.concat())?;
    Ok(Digest::of(text.as_bytes()))
}

/// Adds `path`, a file or a directory, to `files` as `name`.
fn collect(path: &Path, name: &str, files: &mut Files) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let inner = entry.file_name().into_string().map_err(|name| {
                format!(
                    "`{}` is not a valid file name in an archive",
                    name.display()
                )
            })?;
            collect(&entry.path(), &format!("{name}/{inner}"), files)?;
        }
        return Ok(());
    }
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    bundle::add(files, name, &bytes);
    Ok(())
}
