//! Mutated layers: reading one neither panics nor hangs.

use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;
use xtask_testkit::fuzz::fuzz;

use super::layer;

/// A tar with a file, a link, a long name and extension headers.
fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    add(
        "x",
        tar::EntryType::XHeader,
        b"15 path=etc/ab\n9 size=7\n11 uid=1000\n",
    );
    add(
        "etc/passwd",
        tar::EntryType::Regular,
        b"a:x:1:1::/:/bin/sh\n",
    );
    add(&"d/".repeat(120), tar::EntryType::Directory, b"");
    builder.into_inner().unwrap()
}

#[test]
fn fuzz_layers() {
    let tar = tar();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    let zstd = [
        0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x01, 0x09, 0x00, 0x00, b'x', 1, 2, 3, 4,
    ];
    let corpus = [tar, gzip.finish().unwrap(), zstd.to_vec()];
    let words = [
        "ustar",
        "99999999999",
        "\u{80}",
        "18446744073709551615 path=x\n",
        "0 path=x\n",
    ];
    fuzz("layer", &corpus, &words, 10_000, |bytes| {
        let _ = layer::read(bytes);
    });
}
