//! What is not what was released: nothing of it is installed, and each is told apart.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use minisign::KeyPair;

use super::server::Answer;
use super::{HERE, Scene, key, names, packed, script, signed};

/// The causes that `polis update` names when `spoil` has been at a release; the old program must be there.
fn refused(spoil: impl FnOnce(&Scene)) -> String {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    spoil(&scene);
    let ran = scene.polis(&["update", "--quiet"]);
    assert_eq!(ran.code, Some(16), "{}", ran.seen());
    assert_eq!(scene.is(), format!("polis {HERE}"));
    let told = |line: &&str| line.starts_with("error: ") || line.starts_with("  caused by: ");
    let seen = scene.seen(&ran);
    // What curl says changes with its version; its exit codes do not.
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

/// Changes the file at `path`.
fn change(scene: &Scene, path: &str, by: impl FnOnce(Vec<u8>) -> Answer) {
    match scene.server.get(path) {
        Answer::File(bytes) => scene.server.set(path, by(bytes)),
        other => panic!("{other:?}"),
    }
}

const SIGNATURE: &str = "/latest/download/SHA256SUMS.minisig";
const SUMS: &str = "/download/v9.8.7/SHA256SUMS";

fn archive() -> String {
    format!("/download/v9.8.7/{}", names("9.8.7").0)
}

/// The bytes with the one in the middle changed, to one that Base64 has too.
fn damaged(mut bytes: Vec<u8>) -> Answer {
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    Answer::File(bytes)
}

#[test]
fn a_damaged_release_is_refused() {
    let cases = [
        refused(|scene| change(scene, SIGNATURE, damaged)),
        refused(|scene| change(scene, SUMS, damaged)),
        refused(|scene| change(scene, &archive(), damaged)),
        refused(|scene| change(scene, &archive(), Answer::Half)),
        refused(|scene| scene.server.set(&archive(), Answer::Endless)),
        refused(|scene| scene.server.set(SIGNATURE, Answer::Endless)),
        refused(|scene| scene.server.remove(&archive())),
        refused(|scene| scene.server.remove(SIGNATURE)),
    ];
    let text = cases.join("---\n");
    // The digest of what is damaged.
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
          caused by: it is larger than 64.0 MiB, the most that is accepted
        ---
        error: could not download `[SERVER]/latest/download/SHA256SUMS.minisig`
          caused by: it is larger than 4.0 KiB, the most that is accepted
        ---
        error: could not download `[SERVER]/download/v9.8.7/polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz`
          caused by: [CURL] (exit code 22)
        ---
        error: could not download `[SERVER]/latest/download/SHA256SUMS.minisig`
          caused by: [CURL] (exit code 22)
    "#]].assert_eq(&text.collect::<Vec<_>>().join(" "));
}

#[test]
fn what_the_key_has_not_signed_for_this_is_refused() {
    let stranger = KeyPair::generate_unencrypted_keypair().expect("a key");
    let sign = |scene: &Scene, key: &KeyPair, comment: &str| {
        change(scene, SUMS, |sums| {
            let sums = String::from_utf8(sums).expect("text");
            let signature = signed(key, &sums, comment).into_bytes();
            scene.server.set(SIGNATURE, Answer::File(signature));
            Answer::File(sums.into_bytes())
        });
    };
    let cases = [
        refused(|scene| sign(scene, &stranger, "Polis 9.8.7")),
        refused(|scene| sign(scene, key(), "Polis 9.8.7: REHEARSAL, not a release")),
        refused(|scene| sign(scene, key(), "another program 9.8.7")),
        // An old release, rightly signed, in the place of the newest.
        refused(|scene| scene.release("0.0.1", &script("0.0.1"))),
        // The list of one version under the signature of another.
        refused(|scene| {
            scene.release("9.8.8", &script("9.8.8"));
            let old = scene.server.get(SUMS);
            scene.server.set("/download/v9.8.8/SHA256SUMS", old);
        }),
        // Released, but not for this machine.
        refused(|scene| scene.release_files("9.8.7", "polis-9.8.7-other.tar.gz", b"x")),
        // The program of another version under this one's name.
        refused(|scene| scene.release("9.8.7", &script("9.8.6"))),
        refused(|scene| scene.release("9.8.7", b"#!/bin/sh\necho broken >&2; exit 3\n")),
        refused(|scene| scene.release("9.8.7", b"#!/bin/sh\nexec yes\n")),
        refused(|scene| scene.release("9.8.7", b"no program")),
        refused(|scene| {
            let (archive, _) = names("9.8.7");
            scene.release_files("9.8.7", &archive, &packed("elsewhere/polis", b"x"));
        }),
    ];
    expect![[r#"
        error: the signature of the release is not valid
          caused by: it was made with another key than the one in this program
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
          caused by: `polis version` ended with exit code 3: broken
        ---
        error: the new program does not run on this machine
          caused by: it printed too much
        ---
        error: the new program does not run on this machine
          caused by: Exec format error (os error 8)
        ---
        error: `polis-9.8.7-[ARCH]-unknown-linux-musl.tar.gz` cannot be installed
          caused by: `polis-9.8.7-[ARCH]-unknown-linux-musl/polis` is not in it
    "#]].assert_eq(&cases.join("---\n"));
}

#[test]
fn a_version_that_was_asked_for_is_the_one_that_comes() {
    let scene = Scene::new();
    scene.release("9.8.6", &script("9.8.6"));
    scene.release("9.8.7", &script("9.8.7"));
    let newest = scene.server.get("/download/v9.8.7/SHA256SUMS.minisig");
    scene
        .server
        .set("/download/v9.8.6/SHA256SUMS.minisig", newest);
    let ran = scene.polis(&["update", "--version", "9.8.6"]);
    assert_eq!(ran.code, Some(16), "{}", ran.seen());
    assert!(
        ran.stderr.contains("it is for 9.8.7, expected 9.8.6"),
        "{}",
        ran.seen()
    );
    assert_eq!(scene.is(), format!("polis {HERE}"));
}

#[test]
fn no_redirect_leads_away_from_tls() {
    let other = super::Server::start();
    let to_http = refused(|scene| {
        let url = format!("{}/stolen", other.url());
        scene.server.set(SIGNATURE, Answer::Elsewhere(url));
    });
    assert!(to_http.contains("[CURL] (exit code 1)"), "{to_http}");
    let to_file = refused(|scene| {
        let url = "file:///etc/passwd".to_owned();
        scene.server.set(SIGNATURE, Answer::Elsewhere(url));
    });
    assert!(to_file.contains("[CURL] (exit code 1)"), "{to_file}");
    assert_eq!(other.seen(), [""; 0]);
}

#[test]
fn a_directory_that_cannot_be_written_is_found_first() {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    let dir = scene.path().with_file_name("");
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    };
    mode(scene.world.dir(), 0o755);
    mode(&scene.path(), 0o755);
    mode(&dir, 0o555);
    // Root may write everywhere.
    let program = scene.path().display().to_string();
    let words = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &program,
        "update",
    ];
    let state = scene.world.dir().join("state");
    fs::create_dir(&state).expect("a directory");
    mode(&state, 0o777);
    let state = state.display().to_string();
    let url = scene.server.url();
    let env = [
        ("HOME", &*state),
        ("XDG_STATE_HOME", &*state),
        ("XDG_CONFIG_HOME", &*state),
        ("POLIS_RELEASE_URL", &*url),
    ];
    let setpriv = std::path::Path::new("/usr/bin/setpriv");
    let running = match rustix::process::geteuid().is_root() {
        true => scene.world.start(setpriv, &words, &env, b""),
        false => scene.start(&["update"], &env),
    };
    let ran = running.wait();
    mode(&dir, 0o755);
    expect![[r#"
        exit 16
        --- stderr
        error: `[WORLD]/programs` cannot be written
          caused by: Permission denied (os error 13)
          hint: run this as the user who installed polis, or install it into a directory that you own
    "#]]
    .assert_eq(&scene.seen(&ran));
    assert_eq!(scene.server.seen(), [""; 0]);
}
