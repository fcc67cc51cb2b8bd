//! Builds programs and signatures of releases for the tests.

use std::io::Cursor;
use std::sync::OnceLock;

use minisign::KeyPair;

/// The key that signs this process's releases.
pub(super) fn key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate_unencrypted_keypair().expect("a key"))
}

/// Patches `program`: replaces its label `here` by `label`, and its key by `key`.
pub(super) fn with_key(mut program: Vec<u8>, here: &str, label: &str, key: &str) -> Vec<u8> {
    assert_eq!(label.len(), here.len(), "a label as long as `{here}`");
    let before = "\"key\":\"";
    let found: Vec<usize> = places(&program, before);
    assert_eq!(found.len(), 1, "places of the key");
    let start = found[0] + before.len();
    program[start..start + key.len()].copy_from_slice(key.as_bytes());
    for at in places(&program, here) {
        program[at..at + label.len()].copy_from_slice(label.as_bytes());
    }
    program
}

/// The offsets of `what` in a program of many megabytes. Uses the string search of the standard library, which is optimized
/// even in a development build.
fn places(bytes: &[u8], what: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut start = 0;
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        if text.len() >= what.len() {
            found.extend(text.match_indices(what).map(|(at, _)| start + at));
        }
        start += text.len() + chunk.invalid().len();
    }
    found
}

/// A signature file for `text`, with `comment`.
pub(super) fn signed(key: &KeyPair, text: &str, comment: &str) -> String {
    let text = Cursor::new(text.as_bytes().to_vec());
    let signature = minisign::sign(Some(&key.pk), &key.sk, text, Some(comment), None);
    signature.expect("a signature").into_string()
}
