//! Packs and unpacks the CLI archives: `.tar.gz`, and `.zip` for Windows. The same entries always give the same bytes.
//!
//! Reading is bounded, so that a small file cannot unpack to more than fits into memory.

use std::io::{Cursor, Read, Write};

use polis_base::archive::{EXECUTABLE, Files};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use xtask_build::oci::gzip;

/// An upper limit on what one of our archives unpacks to.
const MOST_BYTES: u64 = 64 << 20;
/// An upper limit on the entries of one of our archives.
const MOST_ENTRIES: usize = 128;

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    /// A link, a device or another type that our archives never contain.
    Other,
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The path as stored, without the trailing slash of a directory.
    pub(crate) path: String,
    pub(crate) kind: EntryKind,
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Packs the files of `entries` as the archive `name`, with the directories that they need.
pub(crate) fn pack(name: &str, entries: &[Entry]) -> Result<Vec<u8>, String> {
    let files = || entries.iter().filter(|entry| entry.kind == EntryKind::File);
    if name.ends_with(".zip") {
        return zip(files()).map_err(|error| error.to_string());
    }
    let mut tar = Files::new();
    for entry in files() {
        tar.add(&entry.path, entry.mode, entry.bytes.clone());
    }
    Ok(gzip(&tar.to_tar().map_err(|error| error.to_string())?))
}

fn zip<'a>(files: impl Iterator<Item = &'a Entry>) -> zip::result::ZipResult<Vec<u8>> {
    // Everything that a host would otherwise decide: time, system and modes.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .large_file(false);
    let mut files: Vec<&Entry> = files.collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut above: Vec<&str> = Vec::new();
    for file in files {
        for (at, _) in file.path.match_indices('/') {
            let dir = &file.path[..at];
            if !above.contains(&dir) {
                writer.add_directory(dir, options.unix_permissions(EXECUTABLE))?;
                above.push(dir);
            }
        }
        writer.start_file(file.path.as_str(), options.unix_permissions(file.mode))?;
        writer.write_all(&file.bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// Reads the entries of the archive `name` as stored.
pub(crate) fn unpack(name: &str, bytes: &[u8]) -> Result<Vec<Entry>, String> {
    if name.ends_with(".zip") {
        unzip(bytes)
    } else {
        untar(&gunzip(bytes)?)
    }
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    let mut tar = Vec::new();
    let read = decoder.by_ref().take(MOST_BYTES + 1).read_to_end(&mut tar);
    read.map_err(|error| format!("it is not complete gzip: {error}"))?;
    if tar.len() as u64 > MOST_BYTES {
        return Err(too_large());
    }
    match decoder.into_inner().len() {
        0 => Ok(tar),
        more => Err(format!("{more} bytes follow the end of the gzip stream")),
    }
}

fn untar(tar: &[u8]) -> Result<Vec<Entry>, String> {
    let text = |error: std::io::Error| format!("it is not a complete tar: {error}");
    let mut entries = Vec::new();
    for entry in tar::Archive::new(tar).entries().map_err(text)?.raw(true) {
        let mut entry = entry.map_err(text)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = match entry.header().entry_type() {
            tar::EntryType::Regular => EntryKind::File,
            tar::EntryType::Directory => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let mode = entry.header().mode().map_err(text)?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(text)?;
        add(&mut entries, &path, kind, mode, bytes)?;
    }
    Ok(entries)
}

fn unzip(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let text = |error: zip::result::ZipError| format!("it is not a complete zip: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(text)?;
    let mut entries = Vec::new();
    let mut left = MOST_BYTES;
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).map_err(text)?;
        let path = file.name().map_err(text)?.into_owned();
        let mode = file.unix_mode().unwrap_or_default();
        let kind = match mode & 0o170_000 {
            0o100_000 => EntryKind::File,
            0o040_000 => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let mut bytes = Vec::new();
        let read = file.by_ref().take(left + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("it is not a complete zip: `{path}`: {error}"))?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
        add(&mut entries, &path, kind, mode & 0o7777, bytes)?;
    }
    Ok(entries)
}

fn add(
    entries: &mut Vec<Entry>,
    path: &str,
    kind: EntryKind,
    mode: u32,
    bytes: Vec<u8>,
) -> Result<(), String> {
    if entries.len() == MOST_ENTRIES {
        return Err(format!("it has more than {MOST_ENTRIES} entries"));
    }
    let path = match kind {
        EntryKind::Directory => path.strip_suffix('/').unwrap_or(path),
        _ => path,
    };
    entries.push(Entry {
        path: path.to_owned(),
        kind,
        mode,
        bytes,
    });
    Ok(())
}

fn too_large() -> String {
    format!("it unpacks to more than {} MiB", MOST_BYTES >> 20)
}

#[cfg(test)]
mod tests;
