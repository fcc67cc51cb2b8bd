//! `polis cp` from a hostile workspace that tries to write elsewhere on the host.

use std::fs;
use std::path::Path;

use crate::copy::{cp, is_tidy, names, sandbox, write};

/// An archive entry written by hand, without any checks.
fn entry(kind: u8, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    old.linkflag = [kind];
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A header whose size does not match the data that follows.
fn lying(kind: u8, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Archives of a hostile workspace, each with part of the reason given for refusing it.
fn hostile() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let dir = || entry(b'5', "x/", "", b"");
    let file = |name: &str| entry(b'0', name, "", b"evil");
    let link = |name: &str, to: &str| entry(b'2', name, to, b"");
    let long = |kind, text: &[u8]| entry(kind, "././@LongLink", "", text);
    let mut broken = file("x/a");
    broken[0] = b'y';
    vec![
        ("absolute", vec![file("/tmp/evil")]),
        ("absolute", vec![dir(), file("/x/evil")]),
        ("`..`", vec![file("../evil")]),
        ("`..`", vec![dir(), file("x/../evil")]),
        ("`..`", vec![dir(), file("x/a/../../../evil")]),
        ("`..`", vec![entry(b'5', "../", "", b"")]),
        ("`..`", vec![entry(b'5', "..", "", b"")]),
        ("`.`", vec![entry(b'5', "./", "", b"")]),
        ("empty", vec![dir(), file("x//evil")]),
        ("empty", vec![dir(), file("x/evil/")]),
        ("outside the copy", vec![dir(), file("evil")]),
        ("outside the copy", vec![file("x"), file("evil")]),
        ("does not precede", vec![dir(), file("x/a/evil")]),
        ("below a file", vec![file("x"), file("x/evil")]),
        ("another entry", vec![dir(), file("x/a"), file("x/a")]),
        ("another entry", vec![dir(), link("x/a", "b"), file("x/a")]),
        ("another entry", vec![file("x"), file("x")]),
        (
            "below a link",
            vec![dir(), link("x/a", "b"), file("x/a/evil")],
        ),
        (
            "points outside",
            vec![dir(), link("x/a", "/tmp"), file("x/a/evil")],
        ),
        ("points outside", vec![dir(), link("x/a", "../..")]),
        ("points outside", vec![dir(), link("x/a", "b/../../..")]),
        ("points outside", vec![dir(), link("x/a", "")]),
        (
            "points outside",
            vec![dir(), long(b'K', b"../../../../tmp\0"), link("x/a", "b")],
        ),
        (
            "neither a file nor a directory",
            vec![link("x", "/tmp"), file("x/evil")],
        ),
        (
            "hard link",
            vec![dir(), entry(b'1', "x/a", "/etc/passwd", b"")],
        ),
        (
            "hard link",
            vec![dir(), file("x/a"), entry(b'1', "x/b", "x/a", b"")],
        ),
        ("neither a file", vec![dir(), entry(b'3', "x/tty", "", b"")]),
        ("neither a file", vec![dir(), entry(b'4', "x/sda", "", b"")]),
        (
            "neither a file",
            vec![dir(), entry(b'6', "x/pipe", "", b"")],
        ),
        (
            "neither a file",
            vec![dir(), entry(b'7', "x/contiguous", "", b"")],
        ),
        ("neither a file", vec![dir(), lying(b'S', "x/sparse", 0)]),
        (
            "neither a file",
            vec![
                dir(),
                entry(b'x', "x/a", "", b"20 path=/tmp/evil12\n"),
                file("x/a"),
            ],
        ),
        (
            "neither a file",
            vec![entry(b'g', "x", "", b"20 path=/tmp/evil12\n"), dir()],
        ),
        ("neither a file", vec![dir(), entry(b'Z', "x/a", "", b"")]),
        (
            "`..`",
            vec![dir(), long(b'L', b"x/../../evil\0"), file("x/a")],
        ),
        ("NUL", vec![dir(), long(b'L', b"x/a\0b\0"), file("x/a")]),
        (
            "longer than",
            vec![dir(), long(b'L', &[b'a'; 5000]), file("x/a")],
        ),
        (
            "there are two",
            vec![long(b'L', b"x\0"), long(b'L', b"x\0"), dir()],
        ),
        ("ends too early", vec![dir(), long(b'L', b"x/a\0")]),
        ("has contents", vec![entry(b'5', "x/", "", b"content")]),
        (
            "has contents",
            vec![dir(), entry(b'2', "x/a", "b", b"content")],
        ),
        ("middle of a file", vec![dir(), lying(b'0', "x/a", 1 << 20)]),
        (
            "middle of a file",
            vec![dir(), lying(b'0', "x/a", u64::MAX >> 1)],
        ),
        ("not an archive", vec![dir(), broken]),
        ("not an archive", vec![b"not a tar archive at all".to_vec()]),
        ("ends too early", vec![vec![0; 1024]]),
        ("ends too early", vec![]),
        ("deep", vec![long(b'L', &b"x/".repeat(300)), dir()]),
    ]
}

#[test]
fn a_hostile_archive_is_refused_and_leaves_nothing_behind() {
    let sandbox = sandbox(false);
    let home = sandbox.home();
    let tar = sandbox.guest().path("/usr/local/bin/tar");
    write(&tar, b"#!/bin/sh\nexec cat \"$HOME/x/archive\"\n", 0o755);
    fs::create_dir(home.join("dir")).unwrap();
    for (number, (reason, entries)) in hostile().into_iter().enumerate() {
        let mut archive = entries.concat();
        if archive.len() % 512 == 0 && !archive.is_empty() {
            archive.extend([0; 1024]);
        }
        write(
            &sandbox.guest().path("/home/polis/x/archive"),
            &archive,
            0o644,
        );
        let ran = cp(&sandbox, "pipe", "workspace:x", "dir");
        assert_eq!(ran.code, Some(10), "{number} {reason}: {}", ran.seen());
        assert!(
            ran.stderr.contains(reason),
            "{number} {reason}: {}",
            ran.seen()
        );
        assert_eq!(names(&home.join("dir")), [""; 0], "{number} {reason}");
    }
    assert_eq!(names(&home), [".local", "dir"]);
    assert!(!Path::new("/tmp/evil").exists());
    is_tidy(&sandbox);
}

/// Endless output of a workspace is cut off, in the archive and on standard error, and odd exit codes are reported.
#[test]
fn a_misbehaving_workspace_is_bounded() {
    let sandbox = sandbox(true);
    let home = sandbox.home();
    write(&sandbox.guest().path("/home/polis/x"), b"x", 0o644);
    write(&home.join("file"), b"x", 0o644);
    let tar = sandbox.guest().path("/usr/local/bin/tar");
    let small = [
        ("POLIS_COPY_SIZE", "1M"),
        ("POLIS_COPY_ENTRIES", "1"),
        ("POLIS_DELIVERY", "file"),
    ];
    let lines = "yes 'evil\x1b[2Jevil' | head -c 300000 >&2";
    for (script, reason) in [
        ("cat /dev/zero".to_owned(), "it is larger than 1.0 MiB"),
        (format!("{lines}; exit 2"), "evil"),
        (format!("{lines}; exit 4"), "evil"),
        ("kill -9 $$".to_owned(), "was not copied"),
    ] {
        write(&tar, format!("#!/bin/bash\n{script}\n").as_bytes(), 0o755);
        for (source, to) in [("workspace:x", "here"), ("file", "workspace:in")] {
            let endless = script.starts_with("cat") && source == "file";
            if endless {
                continue;
            }
            let ran = sandbox.polis_with(&["cp", source, to], &small);
            assert_eq!(ran.code, Some(10), "{script}: {}", ran.seen());
            assert!(
                ran.stderr.contains(reason) && ran.stderr.len() < 4000,
                "{script}: {}",
                ran.seen()
            );
            assert!(!ran.stderr.contains('\x1b'));
        }
    }
    assert_eq!(names(&home), [".local", "file"]);
    assert_eq!(names(&sandbox.guest().path("/home/polis")), ["x"]);
    is_tidy(&sandbox);
}
