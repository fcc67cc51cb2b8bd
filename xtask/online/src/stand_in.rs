//! Stand-in images that meet their contracts but contain nothing that runs: for the registries of rehearsals and tests,
//! where a release reads them like the published ones.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use polis_base::{Digest, ImageRef};
use tar::{Builder, EntryType, Header};
use xtask_build::oci::{self, Blobs, Descriptor, Execution, Platform};
use xtask_host::error::{Error, Result};
use xtask_pins::compose::Compose;
use xtask_pins::contract::{self, Contract, PathKind};

use crate::images::{ImageUse, uses_in};

/// What is at a path.
enum Content {
    Directory { owner: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Symlink(&'static str),
}

/// The files of a stand-in, by path without the leading slash.
type Files = BTreeMap<String, Content>;

/// Writes an image that meets the contract of `image` in the tree at `root` as an OCI layout into the empty directory
/// `dir`, and returns the digest of its index; `None` if it has no contract.
///
/// # Errors
/// If the tree cannot be read or the layout cannot be written.
pub fn write(root: &Path, image: &ImageRef, text: &str, dir: &Path) -> Result<Option<Digest>> {
    let contracts = contract::load(root)?;
    let Some(contract) = contract::of_image(&contracts, &image.name()) else {
        return Ok(None);
    };
    let uses = uses_in(root, &Compose::load(root)?);
    let mine = uses
        .into_iter()
        .filter(|(used, _)| used.unpinned() == image.unpinned());
    let uses: Vec<ImageUse> = mine.flat_map(|(_, uses)| uses).collect();
    let failed =
        |why: String| Error::machine(format!("cannot pack a stand-in for `{image}`")).because(why);
    let mut blobs = Blobs::default();
    let manifests =
        add(&mut blobs, contract, &uses, text).map_err(|error| failed(error.to_string()))?;
    let version = (oci::VERSION.to_owned(), "0.0.0-placeholder".to_owned());
    let index = blobs.add_index(manifests, BTreeMap::from([version]));
    let digest = index
        .digest
        .parse()
        .map_err(|error| failed(format!("{error}")))?;
    blobs.write_layout(dir, vec![index])?;
    Ok(Some(digest))
}

/// Adds an image for every platform of `contract` to `blobs` and returns the descriptors of their manifests, as for an
/// index. Each also contains the programs that `uses` start, and a file `PLACEHOLDER` with `text`, which distinguishes
/// stand-ins.
///
/// # Errors
/// If a path of the contract is too long for an archive.
fn add(
    blobs: &mut Blobs,
    contract: &Contract,
    uses: &[ImageUse],
    text: &str,
) -> io::Result<Vec<Descriptor>> {
    let layer = layer(&files(contract, uses, text))?;
    let label = ("io.polis.rehearsal".to_owned(), "placeholder".to_owned());
    let words = |fact: &Option<contract::Fact<Vec<String>>>| {
        fact.as_ref()
            .map(|fact| fact.value.clone())
            .unwrap_or_default()
    };
    let execution = Execution {
        user: contract.user.as_ref().map(|fact| fact.value.to_string()),
        entrypoint: words(&contract.entrypoint),
        cmd: words(&contract.command),
        labels: BTreeMap::from([label]),
    };
    let platforms = contract.platforms.iter().filter_map(|fact| {
        let (os, architecture) = fact.value.split_once('/')?;
        Some(Platform {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
        })
    });
    Ok(platforms
        .map(|platform| blobs.add_image(&platform, &execution, &layer))
        .collect())
}

fn files(contract: &Contract, uses: &[ImageUse], text: &str) -> Files {
    let mut files = Files::new();
    for (name, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin")] {
        files.insert(name.to_owned(), Content::Symlink(target));
    }
    let plain = |bytes: &str| Content::File {
        mode: 0o644,
        bytes: bytes.as_bytes().to_vec(),
    };
    files.insert("PLACEHOLDER".to_owned(), plain(text));
    let accounts = contract.users.iter().map(|fact| {
        let (name, uid) = (&fact.value.name, fact.value.uid);
        format!("{name}:x:{uid}:{uid}::/:/nowhere\n")
    });
    files.insert(
        "etc/passwd".to_owned(),
        plain(&accounts.collect::<String>()),
    );
    let owner = contract.user.as_ref().map_or(0, |fact| fact.value);
    for fact in &contract.paths {
        let content = match fact.value.kind {
            PathKind::Writable => Content::Directory { owner },
            PathKind::Module | PathKind::File => plain(""),
            PathKind::Config => continue,
        };
        files.insert(fact.value.path.trim_start_matches('/').to_owned(), content);
    }
    let started = uses.iter().flat_map(|used| &used.starts);
    let started = started.map(|start| start.program.as_str());
    let promised = contract.programs.iter().map(|fact| fact.value.as_str());
    for program in promised.chain(started) {
        let path = match program.strip_prefix('/') {
            // `bin` and `sbin` are links, whose targets come later in the archive, so no entry may be below them.
            Some(path) if path.starts_with("bin/") || path.starts_with("sbin/") => {
                format!("usr/{path}")
            }
            Some(path) => path.to_owned(),
            None => format!("usr/bin/{program}"),
        };
        let program = Content::File {
            mode: 0o755,
            bytes: Vec::new(),
        };
        files.insert(path, program);
    }
    directories(files)
}

/// A file that has others below it becomes a directory.
fn directories(mut files: Files) -> Files {
    let paths: Vec<String> = files.keys().cloned().collect();
    for path in &paths {
        let below = format!("{path}/");
        if paths.iter().any(|other| other.starts_with(&below))
            && let Some(content @ Content::File { .. }) = files.get_mut(path)
        {
            *content = Content::Directory { owner: 0 };
        }
    }
    files
}

fn layer(files: &Files) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_ustar();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match content {
            Content::Directory { owner } => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                header.set_uid((*owner).into());
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Content::File { mode, bytes } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(*mode);
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, bytes.as_slice())?;
            }
            Content::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, path, target)?;
            }
        }
    }
    builder.into_inner()
}
