//! Reads a layer as a stream: unpacks it as it arrives and keeps its headers, not its content.
//!
//! A layer is untrusted input that may be crafted to exhaust memory or time, so everything that it controls is bounded:
//! how much it unpacks to, how many entries it has, how long their names are.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::read::MultiGzDecoder;
use polis_base::Digest;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType, Header, PaxExtensions};

/// The most bytes that a layer may unpack to; the largest image that we know unpacks to a tenth of it.
const UNPACKED: u64 = 16 << 30;
/// The most entries of a layer.
const ENTRIES: usize = 500_000;
/// The longest path, in bytes; the limit of Linux.
const PATH: usize = 4096;
/// The most bytes of all names of a layer together.
const NAMES: usize = 64 << 20;
/// The most bytes of an extension header, which describes the next entry.
const EXTENSION: u64 = 1 << 20;
/// The most bytes of a file that is kept.
const KEPT: u64 = 1 << 20;
/// The largest zstd window, in bytes; image builders stay below 8 MiB.
const WINDOW: u64 = 32 << 20;
/// The files whose bytes are kept.
const WANTED: [&str; 2] = ["etc/passwd", "etc/group"];

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The last three bytes of the magic number of a skippable zstd frame.
const SKIPPED: &[u8] = &[0x2a, 0x4d, 0x18];

/// The contents of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its entries, in their order.
    pub(super) entries: Vec<Entry>,
    /// The digest of what it unpacks to.
    pub(super) unpacked: Digest,
}

/// One entry of a layer.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the root of the image, without empty, `.` and `..` components; empty for the root.
    pub(super) path: Box<str>,
    pub(super) what: What,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
}

/// The type of an entry.
#[derive(Debug)]
pub(super) enum What {
    Directory,
    /// A file, with its bytes if they are needed.
    File(Option<Box<[u8]>>),
    /// Another name for the file at this path.
    Link(Box<str>),
    /// A symbolic link to this.
    Symlink(Box<str>),
    /// A device or a pipe.
    Special,
}

/// Reads the layer in `source` to its end.
///
/// # Errors
/// With the reason, when an engine would not unpack the layer or the layer exceeds a bound.
pub(super) fn read(source: impl Read) -> Result<Layer, String> {
    let said = |error: io::Error| error.to_string();
    let mut unpacked = Hashed {
        inner: unpack(source).map_err(said)?,
        hasher: Sha256::new(),
        left: UNPACKED,
    };
    let mut reader = Reader::default();
    let mut archive = Archive::new(&mut unpacked);
    for entry in archive.entries().map_err(said)?.raw(true) {
        reader.entry(&mut entry.map_err(said)?)?;
    }
    if reader.next.is_some() {
        return Err("the archive ends after an extension header".to_owned());
    }
    // The hash also covers what follows the end of the archive.
    io::copy(&mut unpacked, &mut io::sink()).map_err(said)?;
    Ok(Layer {
        entries: reader.entries,
        unpacked: Digest::from_hasher(unpacked.hasher),
    })
}

/// What the extension headers before an entry say about it.
#[derive(Default)]
struct Next {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
}

#[derive(Default)]
struct Reader {
    entries: Vec<Entry>,
    names: usize,
    next: Option<Next>,
}

impl Reader {
    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), String> {
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XGlobalHeader => return Ok(()),
            EntryType::GNULongName => {
                self.next.get_or_insert_default().path = Some(extension(entry)?);
                return Ok(());
            }
            EntryType::GNULongLink => {
                self.next.get_or_insert_default().link = Some(extension(entry)?);
                return Ok(());
            }
            EntryType::XHeader => {
                let bytes = extension(entry)?;
                return pax(&bytes, self.next.get_or_insert_default());
            }
            _ => {}
        }
        let next = self.next.take().unwrap_or_default();
        let size = entry.size();
        if next.size.is_some_and(|said| said != size) {
            return Err("a tar header and its extension header give different sizes".to_owned());
        }
        let header = entry.header().clone();
        let path = next
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let path = normal(&text(path)?)?;
        let what = match kind {
            EntryType::Directory => What::Directory,
            EntryType::Symlink => What::Symlink(link(&header, next.link)?.into()),
            EntryType::Link => What::Link(normal(&link(&header, next.link)?)?.into()),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let wanted = WANTED.contains(&path.as_str());
                What::File(wanted.then(|| kept(entry, &path)).transpose()?)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => What::Special,
            other => return Err(format!("`{path}`: unknown entry type {other:?}")),
        };
        let number = |number: io::Result<u64>| number.map_err(|error| format!("`{path}`: {error}"));
        let entry = Entry {
            mode: header
                .mode()
                .map_err(|error| format!("`{path}`: {error}"))?
                & 0o7777,
            uid: next.uid.map_or_else(|| number(header.uid()), Ok)?,
            gid: next.gid.map_or_else(|| number(header.gid()), Ok)?,
            path: path.clone().into(),
            what,
        };
        self.add(entry)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let link = match &entry.what {
            What::Link(target) | What::Symlink(target) => target.len(),
            _ => 0,
        };
        self.names += entry.path.len() + link;
        if self.entries.len() == ENTRIES || self.names > NAMES {
            return Err(format!(
                "more than {ENTRIES} entries or {NAMES} bytes of names"
            ));
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// The bytes of an extension header.
fn extension(entry: &mut impl Read) -> Result<Vec<u8>, String> {
    let bytes = at_most(entry, EXTENSION);
    bytes.ok_or_else(|| format!("an extension header has more than {EXTENSION} bytes"))?
}

/// The bytes of a file in [`WANTED`].
fn kept(entry: &mut impl Read, path: &str) -> Result<Box<[u8]>, String> {
    let bytes =
        at_most(entry, KEPT).ok_or_else(|| format!("`{path}` has more than {KEPT} bytes"))?;
    bytes.map(Vec::into_boxed_slice)
}

/// All bytes of `source`; `None` if there are more than `most`.
fn at_most(source: &mut impl Read, most: u64) -> Option<Result<Vec<u8>, String>> {
    let mut bytes = Vec::new();
    match source.take(most + 1).read_to_end(&mut bytes) {
        Ok(read) if read as u64 > most => None,
        Ok(_) => Some(Ok(bytes)),
        Err(error) => Some(Err(error.to_string())),
    }
}

/// Reads a PAX header into `next`.
fn pax(bytes: &[u8], next: &mut Next) -> Result<(), String> {
    for extension in PaxExtensions::new(bytes) {
        let extension = extension.map_err(|error| error.to_string())?;
        let value = extension.value_bytes();
        let number = || {
            let value = std::str::from_utf8(value).ok()?;
            value.parse().ok()
        };
        match extension.key_bytes() {
            b"path" => next.path = Some(value.to_vec()),
            b"linkpath" => next.link = Some(value.to_vec()),
            b"uid" => next.uid = number(),
            b"gid" => next.gid = number(),
            b"size" => next.size = number(),
            _ => {}
        }
    }
    Ok(())
}

/// The target of a link.
fn link(header: &Header, long: Option<Vec<u8>>) -> Result<String, String> {
    let short = || header.link_name_bytes().map(|name| name.into_owned());
    let name = long.or_else(short).ok_or("a link has no target")?;
    text(name)
}

fn text(mut bytes: Vec<u8>) -> Result<String, String> {
    // GNU tar ends long names with a zero.
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.len() > PATH {
        return Err(format!("a path has more than {PATH} bytes"));
    }
    // Lossy is enough: every path that we look for is UTF-8.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `path` relative to the root, without empty and `.` components.
///
/// # Errors
/// If it has a `..` component.
fn normal(path: &str) -> Result<String, String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    match parts.contains(&"..") {
        true => Err(format!("`{path}` contains `..`")),
        false => Ok(parts.join("/")),
    }
}

/// The tar in `source`. As in engines, its first bytes tell how it is compressed, not its media type.
fn unpack<'a>(mut source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut first = Vec::new();
    source.by_ref().take(4).read_to_end(&mut first)?;
    let whole = io::Cursor::new(first.clone()).chain(source);
    if first.starts_with(GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(whole)));
    }
    if first.starts_with(ZSTD) || first.get(1..) == Some(SKIPPED) {
        return Ok(Box::new(Frames::new(whole)));
    }
    Ok(Box::new(whole))
}

/// Decodes all frames of a zstd stream; the decoder itself stops after one.
struct Frames<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    /// Whether a frame has begun and not ended.
    inside: bool,
}

impl<R: Read> Frames<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self {
            source: BufReader::new(source),
            decoder,
            inside: false,
        }
    }

    /// Advances to the next frame with content; returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = self.source.by_ref().take(length.into());
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside {
                self.inside = self.begin()?;
                if !self.inside {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.source, one);
                decoded.map_err(|error| io::Error::other(error.to_string()))?;
            }
            match self.decoder.read(buffer)? {
                0 if !buffer.is_empty() => self.inside = false,
                read => return Ok(read),
            }
        }
    }
}

/// Hashes and bounds what is read through it.
struct Hashed<R> {
    inner: R,
    hasher: Sha256,
    left: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(format!("unpacks to more than {UNPACKED} bytes")))?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tar of one entry of this kind with these bytes.
    fn tar(kind: EntryType, name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_layer_that_would_exhaust_memory_is_rejected() {
        let long = "d/".repeat(PATH / 2) + "x";
        let many = vec![b'x'; usize::try_from(KEPT).unwrap() + 1];
        // A frame that asks for a window of 64 MiB: not a single segment, exponent 16.
        let window = [ZSTD, &[0x00, 16 << 3, 0x01, 0x00, 0x00]].concat();
        for (bytes, said) in [
            (
                tar(EntryType::Regular, &long, b""),
                "a path has more than 4096 bytes",
            ),
            (
                tar(EntryType::XHeader, "x", &many),
                "an extension header has more than 1048576 bytes",
            ),
            (
                tar(EntryType::GNULongName, "x", &many),
                "an extension header has more than 1048576 bytes",
            ),
            (
                tar(EntryType::Regular, "etc/passwd", &many),
                "`etc/passwd` has more than 1048576 bytes",
            ),
            (
                tar(EntryType::XHeader, "x", b"9 size=7\n"),
                "the archive ends after an extension header",
            ),
            (window, "window"),
        ] {
            let error = read(bytes.as_slice()).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn a_layer_that_unpacks_endlessly_is_rejected() {
        let mut hashed = Hashed {
            inner: io::repeat(0),
            hasher: Sha256::new(),
            left: 1 << 20,
        };
        let copied = io::copy(&mut hashed, &mut io::sink());
        assert!(
            copied
                .unwrap_err()
                .to_string()
                .contains("unpacks to more than")
        );
    }
}
