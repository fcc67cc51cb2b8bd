//! The files of a release in memory, before they are written.

use std::path::Path;

use polis_base::Digest;

use xtask_host::error::Result;
use xtask_host::reports::release::{Asset, Hex};
use xtask_host::write;

use crate::name::SUMS;

/// A file of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

impl ReleaseFile {
    /// As it appears in a JSON report.
    pub fn reported(&self) -> Asset {
        Asset {
            name: self.name.clone(),
            size: self.size,
            sha256: Hex::of(self.sha256),
        }
    }
}

/// A file with its bytes, before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Piece {
    pub(crate) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }

    pub(crate) fn asset(&self) -> ReleaseFile {
        ReleaseFile {
            name: self.name.clone(),
            size: self.bytes.len() as u64,
            sha256: Digest::of(&self.bytes),
        }
    }
}

/// Everything that a release publishes.
#[derive(Debug, Clone)]
pub struct Signed {
    pieces: Vec<Piece>,
    assets: Vec<ReleaseFile>,
}

impl Signed {
    /// Writes the files into the directory `dir`, and leaves other files there alone.
    pub(crate) fn write_into(&self, dir: &Path) -> Result<()> {
        let mut pieces = self.pieces.iter();
        pieces.try_for_each(|piece| write::atomically(&dir.join(&piece.name), &piece.bytes))
    }

    pub(crate) fn of(pieces: Vec<Piece>) -> Self {
        let assets = pieces.iter().map(Piece::asset).collect();
        Self { pieces, assets }
    }

    /// The files, the checksums and their signature last.
    pub fn assets(&self) -> &[ReleaseFile] {
        &self.assets
    }

    /// The bytes of the file `name`.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        bytes(&self.pieces, name)
    }

    /// Replaces the directory `dir` with the files.
    ///
    /// # Errors
    /// If `dir` holds anything but a release, or cannot be written; it is then unchanged.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write::directory(dir, SUMS, |fresh| self.write_into(fresh))
    }
}

/// The bytes of the file `name`.
pub(crate) fn bytes<'a>(pieces: &'a [Piece], name: &str) -> Option<&'a [u8]> {
    let piece = pieces.iter().find(|piece| piece.name == name)?;
    Some(&piece.bytes)
}

/// `SHA256SUMS` over `pieces`, as `sha256sum` writes it.
pub(crate) fn sums(pieces: &[Piece]) -> Vec<u8> {
    let lines = pieces
        .iter()
        .map(|piece| format!("{}  {}\n", Digest::of(&piece.bytes).hex(), piece.name));
    lines.collect::<String>().into_bytes()
}
