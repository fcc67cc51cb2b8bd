//! Forged and damaged releases: none is installed, and each has its own error message.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use minisign::KeyPair;

use super::server::Answer;
use super::{Fixture, HERE, key, names, packed, script, signed};

/// The causes that `polis update` reports after `spoil` has tampered with a release. The old program must stay in place.
fn refused(spoil: impl FnOnce(&Fixture)) -> String {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    spoil(&fixture);
    let ran = fixture.polis(&["update", "--quiet"]);
    assert_eq!(ran.code, Some(16), "{}", ran.seen());
    assert_eq!(fixture.is(), format!("polis {HERE}"));
    let told = |line: &&str| line.starts_with("error: ") || line.starts_with("  caused by: ");
    let seen = fixture.seen(&ran);
    // curl's messages change with its version; its exit codes do not.
    let lines: Vec<String> = seen
        .lines()
        .filter(told)
        .map(|line| match (line.find("curl: ("), line.rfind("(exit")) {
            (Some(from), Some(to)) => format!("{}[CURL] {}", &line[..from], &line[to..]),
            _ => line.to_owned(),
        })
        .collect();
    let text = lines.join("\n").replace(HERE, "[HERE]");
    text.replace(std::env::consts::ARCH, "[ARCH]") + "\n"
}

fn change(fixture: &Fixture, path: &str, by: impl FnOnce(Vec<u8>) -> Answer) {
    match fixture.server.get(path) {
        Answer::File(bytes) => fixture.server.set(path, by(bytes)),
        other => panic!("{other:?}"),
    }
}

const SIGNATURE: &str = "/latest/download/SHA256SUMS.minisig";
const SUMS: &str = "/download/v9.8.7/SHA256SUMS";

fn archive() -> String {
    format!("/download/v9.8.7/{}", names("9.8.7").0)
}

/// The bytes with the middle one changed, to another Base64 character.
fn damaged(mut bytes: Vec<u8>) -> Answer {
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    Answer::File(bytes)
}

#[test]
fn a_damaged_release_is_refused() {
    let cases = [
        refused(|fixture| change(fixture, SIGNATURE, damaged)),
        refused(|fixture| change(fixture, SUMS, damaged)),
        refused(|fixture| change(fixture, &archive(), damaged)),
        refused(|fixture| change(fixture, &archive(), Answer::Half)),
        refused(|fixture| fixture.server.set(&archive(), Answer::Endless)),
        refused(|fixture| fixture.server.set(SIGNATURE, Answer::Endless)),
        refused(|fixture| fixture.server.remove(&archive())),
        refused(|fixture| fixture.server.remove(SIGNATURE)),
    ];
    let text = cases.join("---\n");
    // Masks the digest of the damaged file.
    let text =
        text.split(' ').map(
            |word| match word.trim_end_matches([',', '\n']).split('\n').next() {
                Some(hex) if hex.len() == 64 => word.replace(hex, "[SHA256]"),
                _ => word.to_owned(),
            },
        );
    expect![[r#"
        error: the signature of the release is not valid
          caused by: it is not the signature of this list and this version
        ---
        error: the signature of the release is not valid
          caused by: it is not the signature of this list and this version
        ---
        error: `polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz` cannot be installed
          caused by: it hashes to [SHA256], expected [SHA256]
        ---
        error: could not download `[SERVER]/download/v9.8.7/polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz`
          caused by: [CURL] (exit code 18)
        ---
        error: could not download `[SERVER]/download/v9.8.7/polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz`
          caused by: it is larger than 64.0 MiB, the maximum
        ---
        error: could not download `[SERVER]/latest/download/SHA256SUMS.minisig`
          caused by: it is larger than 4.0 KiB, the maximum
        ---
        error: could not download `[SERVER]/download/v9.8.7/polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz`
          caused by: [CURL] (exit code 22)
        ---
        error: could not download `[SERVER]/latest/download/SHA256SUMS.minisig`
          caused by: [CURL] (exit code 22)
    "#]].assert_eq(&text.collect::<Vec<_>>().join(" "));
}

#[test]
fn a_signature_for_something_else_is_refused() {
    let stranger = KeyPair::generate_unencrypted_keypair().expect("a key");
    let sign = |fixture: &Fixture, key: &KeyPair, comment: &str| {
        change(fixture, SUMS, |sums| {
            let sums = String::from_utf8(sums).expect("text");
            let signature = signed(key, &sums, comment).into_bytes();
            fixture.server.set(SIGNATURE, Answer::File(signature));
            Answer::File(sums.into_bytes())
        });
    };
    let cases = [
        refused(|fixture| sign(fixture, &stranger, "Polis 9.8.7")),
        refused(|fixture| sign(fixture, key(), "Polis 9.8.7: REHEARSAL, not a release")),
        refused(|fixture| sign(fixture, key(), "another program 9.8.7")),
        // A correctly signed old release in place of the newest.
        refused(|fixture| fixture.release("0.0.1", &script("0.0.1"))),
        // The list of one version with the signature of another.
        refused(|fixture| {
            fixture.release("9.8.8", &script("9.8.8"));
            let old = fixture.server.get(SUMS);
            fixture.server.set("/download/v9.8.8/SHA256SUMS", old);
        }),
        // A release for other machines only.
        refused(|fixture| fixture.release_files("9.8.7", "polis-9.8.7-other.tar.gz", b"x")),
        // The program of another version under this version's name.
        refused(|fixture| fixture.release("9.8.7", &script("9.8.6"))),
        refused(|fixture| fixture.release("9.8.7", b"#!/bin/sh\necho broken >&2; exit 3\n")),
        refused(|fixture| fixture.release("9.8.7", b"#!/bin/sh\nexec yes\n")),
        refused(|fixture| fixture.release("9.8.7", b"no program")),
        refused(|fixture| {
            let (archive, _) = names("9.8.7");
            fixture.release_files("9.8.7", &archive, &packed("elsewhere/polis", b"x"));
        }),
    ];
    expect![[r#"
        error: the signature of the release is not valid
          caused by: it was made with a different key than this program's
        ---
        error: the signature of the release is not valid
          caused by: it is for `Polis 9.8.7: REHEARSAL, not a release`, expected `Polis` and a version
        ---
        error: the signature of the release is not valid
          caused by: it is for `another program 9.8.7`, expected `Polis` and a version
        ---
        error: the release 0.0.1 is older than this program, [HERE]
          caused by: polis never downgrades: otherwise an attacker could serve an old release in place of a new one
        ---
        error: the signature of the release is not valid
          caused by: it is not the signature of this list and this version
        ---
        error: `polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz` cannot be installed
          caused by: SHA256SUMS does not list `polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz`
        ---
        error: the new program does not run on this machine
          caused by: it reports `polis 9.8.6`, expected `polis 9.8.7`
        ---
        error: the new program does not run on this machine
          caused by: `polis version` failed (exit code 3): broken
        ---
        error: the new program does not run on this machine
          caused by: it printed too much output
        ---
        error: the new program does not run on this machine
          caused by: Exec format error (os error 8)
        ---
        error: `polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz` cannot be installed
          caused by: `polis-9.8.7-[ARCH]-unknown-linux-musl/polis` is not in it
    "#]].assert_eq(&cases.join("---\n"));
}

#[test]
fn a_requested_version_is_not_replaced_by_another() {
    let fixture = Fixture::new();
    fixture.release("9.8.6", &script("9.8.6"));
    fixture.release("9.8.7", &script("9.8.7"));
    let newest = fixture.server.get("/download/v9.8.7/SHA256SUMS.minisig");
    fixture
        .server
        .set("/download/v9.8.6/SHA256SUMS.minisig", newest);
    let ran = fixture.polis(&["update", "--version", "9.8.6"]);
    assert_eq!(ran.code, Some(16), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it is for 9.8.7, expected 9.8.6"),
        "{}",
        ran.seen()
    );
    assert_eq!(fixture.is(), format!("polis {HERE}"));
}

#[test]
fn redirects_away_from_tls_are_refused() {
    let other = super::Server::start();
    let to_http = refused(|fixture| {
        let url = format!("{}/stolen", other.url());
        fixture.server.set(SIGNATURE, Answer::Elsewhere(url));
    });
    assert!(to_http.contains("[CURL] (exit code 1)"), "{to_http}");
    let to_file = refused(|fixture| {
        let url = "file:///etc/passwd".to_owned();
        fixture.server.set(SIGNATURE, Answer::Elsewhere(url));
    });
    assert!(to_file.contains("[CURL] (exit code 1)"), "{to_file}");
    assert_eq!(other.seen(), [""; 0]);
}

#[test]
fn an_unwritable_directory_is_reported_before_any_download() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    let dir = fixture.path().with_file_name("");
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    };
    mode(fixture.sandbox.dir(), 0o755);
    mode(&fixture.path(), 0o755);
    mode(&dir, 0o555);
    // Root may write anywhere, so run as another user.
    let program = fixture.path().display().to_string();
    let words = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &program,
        "update",
    ];
    let state = fixture.sandbox.dir().join("state");
    fs::create_dir(&state).expect("a directory");
    mode(&state, 0o777);
    let state = state.display().to_string();
    let url = fixture.server.url();
    let env = [
        ("HOME", &*state),
        ("XDG_STATE_HOME", &*state),
        ("XDG_CONFIG_HOME", &*state),
        ("POLIS_RELEASE_URL", &*url),
    ];
    let setpriv = std::path::Path::new("/usr/bin/setpriv");
    let running = match rustix::process::geteuid().is_root() {
        true => fixture.sandbox.start(setpriv, &words, &env, b""),
        false => fixture.start(&["update"], &env),
    };
    let ran = running.wait();
    mode(&dir, 0o755);
    expect![[r#"
        exit 16
        --- stderr
        error: could not write to `[SANDBOX]/programs`
          caused by: Permission denied (os error 13)
          hint: run this as the user who installed polis, or install it into a directory that you own
    "#]]
    .assert_eq(&fixture.seen(&ran));
    assert_eq!(fixture.server.seen(), [""; 0]);
}
