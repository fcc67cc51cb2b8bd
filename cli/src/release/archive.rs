//! Extracts the program from a release's archive. Pure.
//!
//! The archive's checksum has been verified. Its size is limited nevertheless.

use std::io::Read;

use polis_base::release;

/// The maximum size of the program.
const MOST_PROGRAM: u64 = 64 << 20;
/// The maximum size of the unpacked archive.
#[cfg(any(not(windows), test))]
const MOST_UNPACKED: u64 = 128 << 20;

/// The path of the program in the archive of `version` for `target`.
pub(crate) fn path(version: &str, target: &str) -> String {
    format!(
        "{}/{}",
        release::stem(version, target),
        release::program_name(target)
    )
}

/// The file `path` of an archive of this system.
///
/// # Errors
/// When it is missing, too large or not a regular file.
pub(crate) fn program(archive: &[u8], path: &str) -> Result<Vec<u8>, String> {
    #[cfg(windows)]
    return unzip(archive, path);
    #[cfg(not(windows))]
    untar(archive, path)
}

#[cfg(any(not(windows), test))]
fn untar(archive: &[u8], path: &str) -> Result<Vec<u8>, String> {
    let text = |error: std::io::Error| format!("it is not a complete archive: {error}");
    let unpacked = flate2::read::GzDecoder::new(archive).take(MOST_UNPACKED);
    for entry in tar::Archive::new(unpacked).entries().map_err(text)? {
        let entry = entry.map_err(text)?;
        if entry.path_bytes().as_ref() == path.as_bytes() {
            return match entry.header().entry_type() {
                tar::EntryType::Regular => bounded(entry),
                _ => Err(format!("`{path}` in it is not a regular file")),
            };
        }
    }
    Err(format!("`{path}` is not in it"))
}

#[cfg(any(windows, test))]
fn unzip(archive: &[u8], path: &str) -> Result<Vec<u8>, String> {
    let text = |error: zip::result::ZipError| format!("it is not a complete archive: {error}");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).map_err(text)?;
    match archive.by_name(path) {
        Ok(file) if file.is_file() => bounded(file),
        Ok(_) => Err(format!("`{path}` in it is not a regular file")),
        Err(zip::result::ZipError::FileNotFound) => Err(format!("`{path}` is not in it")),
        Err(error) => Err(text(error)),
    }
}

fn bounded(from: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = from.take(MOST_PROGRAM + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("it is not a complete archive: {error}"))?;
    match bytes.len() as u64 > MOST_PROGRAM {
        true => Err(format!(
            "the program is larger than {} MiB",
            MOST_PROGRAM >> 20
        )),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn tar_gz(path: &str, kind: tar::EntryType, bytes: &[u8]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn zipped(path: &str, bytes: &[u8]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(path, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn the_program_is_extracted_from_both_formats() {
        let path = path("1.2.3", "x86_64-unknown-linux-musl");
        assert_eq!(path, "polis-1.2.3-x86_64-unknown-linux-musl/polis");
        let tar = tar_gz(&path, tar::EntryType::Regular, b"program");
        assert_eq!(untar(&tar, &path), Ok(b"program".to_vec()));
        assert_eq!(
            unzip(&zipped(&path, b"program"), &path),
            Ok(b"program".to_vec())
        );
    }

    #[test]
    fn anything_but_the_program_is_refused() {
        let tar = tar_gz("a/polis", tar::EntryType::Regular, b"program");
        let linked = tar_gz("a/polis", tar::EntryType::Symlink, b"");
        let zip = zipped("a/polis", b"program");
        for (why, expected) in [
            (untar(&tar, "b/polis"), "is not in it"),
            (untar(&linked, "a/polis"), "not a regular file"),
            (
                untar(&tar[..tar.len() / 2], "a/polis"),
                "not a complete archive",
            ),
            (untar(b"", "a/polis"), "not"),
            (unzip(&zip, "b/polis"), "is not in it"),
            (
                unzip(&zip[..zip.len() / 2], "a/polis"),
                "not a complete archive",
            ),
            (unzip(b"", "a/polis"), "not a complete archive"),
        ] {
            let why = why.unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let zeros = vec![0; usize::try_from(MOST_PROGRAM).unwrap() + 1];
        for bomb in [
            untar(&tar_gz("p", tar::EntryType::Regular, &zeros), "p"),
            unzip(&zipped("p", &zeros), "p"),
        ] {
            assert!(bomb.unwrap_err().contains("larger than"));
        }
    }
}
