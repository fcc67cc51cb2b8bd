//! Each way in which an archive can be wrong, and the resulting error.

mod files;

use std::io::Write;

use expect_test::expect;
use xtask_build::oci::gzip;

use super::*;
use crate::notices;

const LINUX: &str = "x86_64-unknown-linux-musl";
const WINDOWS: &str = "x86_64-pc-windows-msvc";

fn expected(triple: &str) -> Expected {
    Expected {
        triple: triple.to_owned(),
        facts: Facts {
            label: "1.2.3".to_owned(),
            compose: Digest::of(b"compose"),
            cloud_init: Digest::of(b"cloud-init"),
            bundle: Digest::of(b"bundle"),
            key: polis_base::facts::NO_KEY.to_owned(),
        },
        license: "the licence\n".to_owned(),
    }
}

/// The first bytes of a program, enough to identify its platform.
fn header(triple: &str) -> Vec<u8> {
    match triple {
        WINDOWS => [&b"MZ"[..], &[0; 58], &[64, 0, 0, 0], b"PE\0\0\x64\x86"].concat(),
        _ => [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[62, 0]].concat(),
    }
}

fn program(triple: &str, facts: &Facts) -> Vec<u8> {
    let marked = facts.to_marked().unwrap();
    [&header(triple)[..], marked.as_bytes(), b"\0more code"].concat()
}

/// The entries of a valid archive.
fn entries(triple: &str) -> Vec<Entry> {
    let expected = expected(triple);
    let stem = name::stem("1.2.3", triple);
    let mut entries: Vec<Entry> = content::files()
        .iter()
        .map(|file| {
            let text = match file.as_str() {
                LICENSE => expected.license.clone(),
                file if file.starts_with("man/") => {
                    ".TH POLIS 1 \"\" \"polis 1.2.3\" \"Polis\"\n".to_owned()
                }
                NOTICES => notices::title("1.2.3", triple),
                content::README => content::README_TEXT.to_owned(),
                file => format!("completions of {file}\n"),
            };
            content::entry(&stem, file, text)
        })
        .collect();
    entries.push(Entry {
        path: format!("{stem}/{}", name::program_name(triple)),
        kind: EntryKind::File,
        mode: EXECUTABLE,
        bytes: program(triple, &expected.facts),
    });
    entries
}

fn archive(triple: &str, change: impl FnOnce(&mut Vec<Entry>)) -> Vec<u8> {
    let mut entries = entries(triple);
    change(&mut entries);
    pack::pack(&name::archive_name("1.2.3", triple), &entries).unwrap()
}

fn seen(triple: &str, bytes: &[u8]) -> String {
    let name = name::archive_name("1.2.3", triple);
    match inspect(&name, bytes, &expected(triple)) {
        Ok(_) => "nothing wrong".to_owned(),
        Err(error) => error.causes.join("\n"),
    }
}

/// The error for an archive with a changed entry.
fn changed(triple: &str, change: impl FnOnce(&mut Vec<Entry>)) -> String {
    seen(triple, &archive(triple, change))
}

/// The entry whose path ends with `end`.
fn find<'a>(entries: &'a mut [Entry], end: &str) -> &'a mut Entry {
    let mut entries = entries.iter_mut();
    entries.find(|entry| entry.path.ends_with(end)).unwrap()
}

/// The tar of a valid archive, followed by what `add` writes.
fn tar_with(add: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let good = archive(LINUX, |_| ());
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&good[..]), &mut tar).unwrap();
    // Remove the two blocks that end the tar.
    tar.truncate(tar.len() - 1024);
    let mut builder = tar::Builder::new(tar);
    add(&mut builder);
    gzip(&builder.into_inner().unwrap())
}

/// A header with an unchecked name, which the library would reject.
fn raw_header(path: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header.set_cksum();
    header
}

#[test]
fn a_valid_archive_passes() {
    for triple in [LINUX, WINDOWS] {
        let bytes = archive(triple, |_| ());
        let name = name::archive_name("1.2.3", triple);
        let found = inspect(&name, &bytes, &expected(triple)).unwrap();
        assert_eq!(found.facts, expected(triple).facts);
        assert_eq!(found.sha256, Digest::of(&bytes));
        assert_eq!(found.size, bytes.len() as u64);
    }
}

#[test]
fn unreadable_archives_are_rejected() {
    let good = archive(LINUX, |_| ());
    let zip = archive(WINDOWS, |_| ());
    let cases = [
        seen(LINUX, b"just a text that somebody named so\n"),
        seen(LINUX, b""),
        seen(LINUX, &good[..good.len() - 9]),
        seen(LINUX, &good[..good.len() / 2]),
        seen(LINUX, &[&good[..], b"garbage"].concat()),
        // The size is that of all man pages.
        seen(LINUX, &[&good[..], &good[..]].concat()).replace(&good.len().to_string(), "[SIZE]"),
        seen(LINUX, &gzip(b"no tar")),
        seen(LINUX, &gzip(&vec![0; 65 << 20])),
        seen(WINDOWS, b"just a text that somebody named so\n"),
        seen(WINDOWS, &zip[..zip.len() - 1]),
        seen(WINDOWS, &[&zip[..], b"garbage"].concat()),
        seen(WINDOWS, &[b"#!/bin/sh\n", &zip[..]].concat()),
        seen(WINDOWS, &good),
    ];
    expect![[r#"
        it is not complete gzip: invalid gzip header
        ---
        it is not complete gzip: unexpected end of file
        ---
        it is not complete gzip: incomplete deflate stream
        ---
        it is not complete gzip: incomplete deflate stream
        ---
        7 bytes follow the end of the gzip stream
        ---
        [SIZE] bytes follow the end of the gzip stream
        ---
        it is not a complete tar: failed to read entire block
        ---
        it unpacks to more than 64 MiB
        ---
        it is not a complete zip: invalid Zip archive: Could not find EOCD
        ---
        it is not a complete zip: invalid Zip archive: Unexpected end of zip::format::blocks::Zip32CDEBlock
        ---
        its entries are correct, but its bytes differ from what these tools pack from them
        ---
        its entries are correct, but its bytes differ from what these tools pack from them
        ---
        it is not a complete zip: invalid Zip archive: Could not find EOCD"#]].assert_eq(&cases.join("\n---\n"));
}

#[test]
fn unexpected_entries_types_and_modes_are_rejected() {
    let other = |path: &str| {
        let mut entry = entries(LINUX).remove(0);
        entry.path = path.to_owned();
        entry
    };
    let cases = [
        changed(LINUX, |entries| {
            for entry in entries {
                entry.path = entry.path.replace("1.2.3", "1.2.4");
            }
        }),
        changed(LINUX, |entries| find(entries, "/polis").mode = 0o644),
        changed(LINUX, |entries| find(entries, "LICENSE").mode = 0o755),
        changed(LINUX, |entries| find(entries, "/polis").mode = 0o4755),
        changed(LINUX, |entries| {
            entries.retain(|entry| !entry.path.ends_with("polis-start.1"))
        }),
        changed(LINUX, |entries| {
            entries.push(other("polis-1.2.3-x86_64-unknown-linux-musl/polis2"))
        }),
        changed(LINUX, |entries| entries.push(other("install.sh"))),
        seen(
            LINUX,
            &tar_with(|tar| {
                let stem = name::stem("1.2.3", LINUX);
                let mut link = tar::Header::new_ustar();
                link.set_entry_type(tar::EntryType::Symlink);
                link.set_size(0);
                link.set_mode(0o777);
                tar.append_link(&mut link, format!("{stem}/sh"), "/bin/sh")
                    .unwrap();
            }),
        ),
        seen(
            LINUX,
            &tar_with(|tar| {
                let header = raw_header("../../etc/cron.d/polis", tar::EntryType::Regular, 1);
                tar.append(&header, &b"x"[..]).unwrap();
            }),
        ),
        seen(
            LINUX,
            &tar_with(|tar| {
                let header = raw_header("/etc/passwd", tar::EntryType::Regular, 1);
                tar.append(&header, &b"x"[..]).unwrap();
            }),
        ),
        seen(
            LINUX,
            &tar_with(|tar| {
                let path = format!("{}/man/polis.1", name::stem("1.2.3", LINUX));
                let header = raw_header(&path, tar::EntryType::Regular, 1);
                tar.append(&header, &b"x"[..]).unwrap();
            }),
        ),
        seen(
            LINUX,
            &tar_with(|tar| {
                let header = raw_header("pax", tar::EntryType::XHeader, 11);
                tar.append(&header, &b"11 path=/x\n"[..]).unwrap();
            }),
        ),
        changed(WINDOWS, |entries| find(entries, "polis.exe").mode = 0o644),
        changed(WINDOWS, |entries| entries.push(other("polis.cmd"))),
        changed(WINDOWS, |entries| entries.push(other("../up"))),
    ];
    expect![[r#"
        it contains `polis-1.2.4-x86_64-unknown-linux-musl`, expected the directory `polis-1.2.3-x86_64-unknown-linux-musl`
        ---
        `polis-1.2.3-x86_64-unknown-linux-musl/polis` has mode 0644, expected 0755
        ---
        `polis-1.2.3-x86_64-unknown-linux-musl/LICENSE` has mode 0755, expected 0644
        ---
        `polis-1.2.3-x86_64-unknown-linux-musl/polis` has mode 4755, expected 0755
        ---
        `polis-1.2.3-x86_64-unknown-linux-musl/man/polis-start.1` is missing
        ---
        `polis-1.2.3-x86_64-unknown-linux-musl/polis2` is unexpected
        ---
        `install.sh` is unexpected
        ---
        `polis-1.2.3-x86_64-unknown-linux-musl/sh` is unexpected
        ---
        `../../etc/cron.d/polis` is unexpected
        ---
        `/etc/passwd` is unexpected
        ---
        `polis-1.2.3-x86_64-unknown-linux-musl/man/polis.1` appears twice
        `man/polis.1` is for another version
        ---
        `pax` is unexpected
        ---
        `polis-1.2.3-x86_64-pc-windows-msvc/polis.exe` has mode 0644, expected 0755
        ---
        `polis.cmd` is unexpected
        ---
        `..` is unexpected
        `../up` is unexpected"#]].assert_eq(&cases.join("\n---\n"));
}

#[test]
fn a_link_in_place_of_a_file_is_rejected() {
    let stem = name::stem("1.2.3", LINUX);
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries(LINUX) {
        let mut header = tar::Header::new_ustar();
        header.set_mode(entry.mode);
        if entry.path == format!("{stem}/polis") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder
                .append_link(&mut header, &entry.path, "/bin/sh")
                .unwrap();
        } else {
            header.set_size(entry.bytes.len() as u64);
            builder
                .append_data(&mut header, &entry.path, &entry.bytes[..])
                .unwrap();
        }
    }
    let linked = seen(LINUX, &gzip(&builder.into_inner().unwrap()));
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for entry in entries(WINDOWS) {
        if entry.path.ends_with("polis.exe") {
            writer
                .add_symlink(entry.path.as_str(), "C:\\x.exe", options)
                .unwrap();
        } else {
            writer
                .start_file(entry.path.as_str(), options.unix_permissions(entry.mode))
                .unwrap();
            writer.write_all(&entry.bytes).unwrap();
        }
    }
    let zipped = seen(WINDOWS, &writer.finish().unwrap().into_inner());
    expect![[r#"
        `polis-1.2.3-x86_64-unknown-linux-musl/polis` is not a regular file
        `polis-1.2.3-x86_64-unknown-linux-musl` is missing
        `polis-1.2.3-x86_64-unknown-linux-musl/completions` is missing
        `polis-1.2.3-x86_64-unknown-linux-musl/man` is missing
        ---
        `polis-1.2.3-x86_64-pc-windows-msvc/polis.exe` is not a regular file
        `polis-1.2.3-x86_64-pc-windows-msvc` is missing
        `polis-1.2.3-x86_64-pc-windows-msvc/completions` is missing
        `polis-1.2.3-x86_64-pc-windows-msvc/man` is missing"#]]
    .assert_eq(&[linked, zipped].join("\n---\n"));
}
