//! What a faulty or hostile network or server may serve instead of a release, and what a malformed release may contain.

use std::fs;
use std::os::unix::fs::symlink;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xtask_dist::sign::SigningKey;
use xtask_loopback::Fault;

use super::machine::{Machine, script_for, tar, target};
use super::refusals::{Case, all_refused};
use super::{BASH, BUSYBOX, DASH, ZSH};
use crate::support::{external_tool, run};

const INVALID: &str = "the signature of SHA256SUMS is not valid";
const ONE: &str = "SHA256SUMS does not have exactly one checksum for";

/// Faults of networks and servers, and attacks by them.
const SERVED: [Case; 24] = [
    (
        "another key",
        |m| {
            let stranger = SigningKey::for_rehearsal().unwrap();
            let own = std::mem::replace(&mut m.key, stranger);
            let sums = m.sums();
            m.sign(&sums, "Polis 0.5.0");
            m.key = own;
        },
        INVALID,
    ),
    (
        "another key with the number of ours",
        |m| {
            let stranger = SigningKey::for_rehearsal().unwrap();
            let [ours, theirs] =
                [&m.key, &stranger].map(|key| decoded(&key.public_key_file().unwrap()));
            let mixed = STANDARD.encode([&ours[..10], &theirs[10..]].concat());
            let file = format!("untrusted comment: x\n{mixed}\n");
            m.script = script_for(&file, b"", target().unwrap());
        },
        INVALID,
    ),
    (
        "changed checksums",
        |m| {
            let sums = m.sums().replace("cloud-init.yaml", "cloud-init.yamm");
            m.files.insert("SHA256SUMS".into(), sums.into());
        },
        INVALID,
    ),
    (
        "checksums with one more line",
        |m| {
            let sums = m.sums() + "\n";
            m.files.insert("SHA256SUMS".into(), sums.into());
        },
        INVALID,
    ),
    (
        "a changed signature",
        |m| m.change_signature(1, |line| turned(line, 40)),
        INVALID,
    ),
    (
        "a changed signature of the comment",
        |m| m.change_signature(3, |line| turned(line, 40)),
        INVALID,
    ),
    (
        "the signature of an older release",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis 0.4.0");
        },
        "it is for `Polis 0.4.0`, expected `Polis 0.5.0`",
    ),
    (
        "a rehearsal",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis 0.5.0: REHEARSAL, not a release");
        },
        "expected `Polis 0.5.0`",
    ),
    (
        "an older release under the comment of this one",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis 0.4.0");
            m.change_signature(2, |line| line.replace("0.4.0", "0.5.0"));
        },
        INVALID,
    ),
    (
        "a comment with more after it",
        |m| m.change_signature(2, |line| format!("{line} ")),
        INVALID,
    ),
    (
        "control characters in the comment",
        |m| {
            let sums = m.sums();
            m.sign(&sums, "Polis\u{1b}[31m 0.5.0");
        },
        "it is for `Polis[31m 0.5.0`",
    ),
    (
        "the other algorithm of minisign",
        |m| m.change_signature(1, |line| line.replacen("RU", "RW", 1)),
        INVALID,
    ),
    (
        "a signature of three lines",
        |m| {
            let text = String::from_utf8(m.files["SHA256SUMS.minisig"].clone()).unwrap();
            let lines: Vec<&str> = text.lines().take(3).collect();
            m.files
                .insert("SHA256SUMS.minisig".into(), lines.join("\n").into());
        },
        INVALID,
    ),
    (
        "a signature of five lines",
        |m| m.change_signature(3, |line| format!("{line}\nx")),
        INVALID,
    ),
    (
        "no signature",
        |m| {
            m.files.remove("SHA256SUMS.minisig");
        },
        "/dl/SHA256SUMS.minisig",
    ),
    (
        "an empty signature",
        |m| {
            m.files.insert("SHA256SUMS.minisig".into(), Vec::new());
        },
        INVALID,
    ),
    (
        "no checksums",
        |m| {
            m.files.remove("SHA256SUMS");
        },
        "/dl/SHA256SUMS",
    ),
    (
        "checksums without the archive",
        |m| {
            let sums = m.sums().replace(".tar.gz\n", ".tar.xz\n");
            m.sign(&sums, "Polis 0.5.0");
        },
        ONE,
    ),
    (
        "two checksums of the archive",
        |m| {
            let sums = m.sums() + &m.sums();
            m.sign(&sums, "Polis 0.5.0");
        },
        ONE,
    ),
    (
        "a checksum in another form",
        |m| {
            let sums = m
                .sums()
                .to_uppercase()
                .replace(&Machine::archive().to_uppercase(), &Machine::archive());
            m.sign(&sums, "Polis 0.5.0");
        },
        ONE,
    ),
    (
        "no archive",
        |m| {
            m.files.remove(&Machine::archive());
        },
        "cannot download",
    ),
    (
        "an archive that was cut on its way",
        |m| {
            m.faults.add("GET", "/dl/polis-", 20, Fault::Cut(100));
        },
        "cannot download",
    ),
    (
        "a short archive",
        |m| {
            let archive = m.files.get_mut(&Machine::archive()).unwrap();
            archive.truncate(100);
        },
        "is not the file that was released",
    ),
    (
        "a changed archive",
        |m| {
            let archive = m.files.get_mut(&Machine::archive()).unwrap();
            archive[100] ^= 1;
        },
        "is not the file that was released",
    ),
];

/// The contents of malformed releases with valid signatures.
const PACKED: [Case; 8] = [
    (
        "no tar",
        |m| m.publish(b"not an archive".to_vec()),
        "cannot unpack",
    ),
    ("no program", |m| m.release(&[]), "cannot unpack"),
    (
        "no manual",
        |m| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join(Machine::top())).unwrap();
            fs::write(dir.path().join(Machine::top()).join("polis"), "x").unwrap();
            m.publish(tar(dir.path()));
        },
        "cannot unpack",
    ),
    (
        "a link in place of the program",
        |m| {
            let archive = odd_program(m, |path| symlink("/bin/true", path).unwrap());
            m.publish(archive);
        },
        "is not a file",
    ),
    (
        "a directory in place of the program",
        |m| {
            let archive = odd_program(m, |path| fs::create_dir(path).unwrap());
            m.publish(archive);
        },
        "is not a file",
    ),
    (
        "another version",
        |m| m.release(&[("polis", "#!/bin/sh\necho polis 0.4.0\n")]),
        "caused by: its version is `polis 0.4.0`, expected `polis 0.5.0`",
    ),
    (
        "a program that fails",
        |m| m.release(&[("polis", "#!/bin/sh\necho no such luck >&2\nexit 3\n")]),
        "caused by: polis --version exited with code 3: no such luck",
    ),
    (
        "a program for another machine",
        |m| m.release(&[("polis", "\u{7f}ELF\u{2}\u{1}\u{1}\0")]),
        "the program does not run on this machine",
    ),
];

/// The bytes of a public key file.
fn decoded(file: &str) -> Vec<u8> {
    STANDARD.decode(file.lines().nth(1).unwrap()).unwrap()
}

/// The line with the Base64 letter at `at` changed.
fn turned(line: &str, at: usize) -> String {
    let other = if &line[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &line[..at], &line[at + 1..])
}

/// An archive in which `make` creates the file in place of the program.
fn odd_program(machine: &Machine, make: impl Fn(&std::path::Path)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let packed = dir.path().join("packed");
    fs::write(&packed, machine.pack(&[])).unwrap();
    let args = [
        "-xzf",
        &packed.to_string_lossy(),
        "-C",
        &dir.path().to_string_lossy(),
    ]
    .map(str::to_owned);
    run(external_tool("tar").unwrap(), args);
    make(&dir.path().join(Machine::top()).join("polis"));
    tar(dir.path())
}

#[test]
fn wrong_responses_are_rejected_with_minisign() {
    all_refused(DASH, &SERVED);
}

#[test]
fn wrong_responses_are_rejected_with_openssl() {
    all_refused(BASH, &SERVED);
}

#[test]
fn wrong_responses_are_rejected_with_busybox() {
    all_refused(BUSYBOX, &SERVED);
}

#[test]
fn wrong_responses_are_rejected_with_zsh_and_wget() {
    all_refused(ZSH, &SERVED);
}

/// OpenSSL itself only reports failure.
#[test]
fn a_signature_by_another_key_has_its_own_error() {
    let (_, by_another_key, _) = SERVED[0];
    all_refused(
        BASH,
        &[(
            "another key",
            by_another_key,
            "caused by: it was made with another key",
        )],
    );
}

#[test]
fn malformed_archives_are_rejected() {
    all_refused(DASH, &PACKED);
    all_refused(BUSYBOX, &PACKED);
}
