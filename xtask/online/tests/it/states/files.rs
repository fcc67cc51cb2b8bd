//! The states of pins other than images: downloads, the key of a package repository, the toolchain.

use super::*;

#[test]
fn downloads_must_match_their_checksums() {
    let mut test_env = TestEnv::start();
    let yq = |test_env: &mut TestEnv, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = test_env.others.files.iter_mut();
        change(
            files
                .find(|(path, _)| path.ends_with("yq_linux_amd64"))
                .unwrap()
                .1,
        );
    };
    yq(&mut test_env, &|bytes| bytes.push(b'!'));
    assert_eq!(
        test_env.states(),
        (1, vec!["mismatch yq v4.44.6 amd64".to_owned()])
    );
    yq(&mut test_env, &|bytes| bytes.truncate(bytes.len() - 1));
    test_env
        .others
        .files
        .retain(|path, _| !path.ends_with("yq_linux_arm64"));
    assert_eq!(
        test_env.states(),
        (2, vec!["gone yq v4.44.6 arm64".to_owned()])
    );
    test_env
        .other_faults
        .add("GET", "/mikefarah", 100, Fault::Cut(5));
    let checksums = test_env.run(&["verify-checksums"]);
    assert_eq!(checksums.code, 2, "{}", checksums.seen());
    assert!(
        checksums
            .stdout
            .contains("unreachable       download yq v4.44.6 amd64"),
        "{}",
        checksums.seen()
    );
}

#[test]
fn the_key_file_must_contain_exactly_one_key() {
    let mut test_env = TestEnv::start();
    let url = "https://download.docker.com/linux/ubuntu/gpg";
    let (one, _) = key_file(b"the one key");
    let (other, _) = key_file(b"another key");
    let path = "/linux/ubuntu/gpg".to_owned();
    for bytes in [other.clone(), [one, other].concat(), Vec::new()] {
        test_env.others.files.insert(path.clone(), bytes);
        assert_eq!(test_env.states(), (1, vec![format!("mismatch {url}")]));
    }
    test_env.others.files.insert(path, b"<html>".to_vec());
    assert_eq!(test_env.states(), (3, vec![format!("unreachable {url}")]));
}

/// GnuPG's own keys and fingerprints, armoured and binary, RSA and elliptic curve.
#[test]
fn fingerprints_are_those_of_gnupg() {
    let Some(gpg) = external_tool("gpg") else {
        return;
    };
    let mut test_env = TestEnv::start();
    for algorithm in ["rsa2048", "ed25519"] {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().display().to_string();
        let call = |args: &[&str]| run(&gpg, [&["--homedir", &home, "--batch"], args].concat());
        let make = [
            "--passphrase",
            "",
            "--quick-gen-key",
            "x@y.z",
            algorithm,
            "default",
            "1d",
        ];
        call(&make);
        let listed = String::from_utf8(call(&["--with-colons", "--list-keys"])).unwrap();
        let line = listed
            .lines()
            .find(|line| line.starts_with("fpr:"))
            .unwrap();
        let fingerprint = line.split(':').nth(9).unwrap().to_owned();
        let text = test_env.tree.read(CLOUD_INIT);
        let name = "DOCKER_KEY_FINGERPRINT=";
        let at = text.find(name).unwrap() + name.len();
        let old = text[at..at + 40].to_owned();
        test_env
            .tree
            .write(CLOUD_INIT, &text.replace(&old, &fingerprint));
        for export in [&["--export"][..], &["--armor", "--export"]] {
            test_env
                .others
                .files
                .insert("/linux/ubuntu/gpg".to_owned(), call(export));
            assert_eq!(test_env.states(), (0, vec![]), "{algorithm} {export:?}");
        }
        stop_agent(&home);
    }
}

fn stop_agent(home: &str) {
    if let Some(gpgconf) = external_tool("gpgconf") {
        run(gpgconf, ["--homedir", home, "--kill", "all"]);
    }
}

#[test]
fn the_toolchain_must_be_released() {
    let mut test_env = TestEnv::start();
    test_env
        .others
        .files
        .retain(|path, _| !path.starts_with("/dist/"));
    assert_eq!(test_env.states(), (2, vec!["gone rust".to_owned()]));
}
