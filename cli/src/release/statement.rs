//! The signed statement of a release: its version and the checksums of its files. Pure.

use minisign_verify::{Error as Minisign, PublicKey, Signature};
use polis_base::Digest;
use polis_base::release::{COMMENT, SUMS};
use semver::Version;

const NO_SIGNATURE: &str = "it is not a valid minisign signature";

/// The verified statement of a release.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) version: Version,
    sums: String,
}

/// The version that a signature claims; only [`verify`] proves it.
///
/// # Errors
/// When it is not the signature of a release.
pub(crate) fn claimed(signature: &[u8]) -> Result<Version, String> {
    let signature = decode(signature)?;
    let comment = signature.trusted_comment();
    let version = comment.strip_prefix(COMMENT).unwrap_or_default();
    match Version::parse(version) {
        Ok(parsed) if parsed.to_string() == version => Ok(parsed),
        _ => Err(format!(
            "it is for `{comment}`, expected `Polis` and a version"
        )),
    }
}

/// Verifies that `key` has signed `sums`, and returns the statement with its version.
///
/// # Errors
/// When it has not, or has signed something else.
pub(crate) fn verify(key: &str, signature: &[u8], sums: &[u8]) -> Result<Statement, String> {
    let key = PublicKey::from_base64(key).map_err(|_| "this program's key is damaged")?;
    let version = claimed(signature)?;
    key.verify(sums, &decode(signature)?, false)
        .map_err(|error| match error {
            Minisign::UnexpectedKeyId => "it was made with a different key than this program's",
            Minisign::InvalidSignature => "it is not the signature of this list and this version",
            _ => NO_SIGNATURE,
        })?;
    let sums = String::from_utf8(sums.to_vec()).map_err(|_| "it is not text".to_owned())?;
    Ok(Statement { version, sums })
}

fn decode(signature: &[u8]) -> Result<Signature, String> {
    let text = str::from_utf8(signature).map_err(|_| NO_SIGNATURE)?;
    Ok(Signature::decode(text).map_err(|_| NO_SIGNATURE)?)
}

impl Statement {
    /// The checksum of the file `name`.
    ///
    /// # Errors
    /// When it is not listed exactly once.
    pub(crate) fn digest(&self, name: &str) -> Result<Digest, String> {
        let mut found = self
            .sums
            .lines()
            .filter_map(|line| line.split_once("  "))
            .filter(|(_, file)| *file == name);
        match (found.next(), found.next()) {
            (Some((hex, _)), None) => {
                Digest::from_hex(hex).map_err(|_| format!("`{hex}` is not a SHA-256 checksum"))
            }
            (None, _) => Err(format!("{SUMS} does not list `{name}`")),
            _ => Err(format!("{SUMS} lists `{name}` twice")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Newer,
    /// The running version.
    Same,
    /// Never installed.
    Older,
    /// A newer preview, which only `--version` installs.
    Preview,
}

/// Judges the release `found` for a program of version `current`; `asked` when the user has named it.
pub(crate) fn judge(current: &Version, found: &Version, asked: bool) -> Verdict {
    match found.cmp_precedence(current) {
        std::cmp::Ordering::Equal => Verdict::Same,
        std::cmp::Ordering::Less => Verdict::Older,
        std::cmp::Ordering::Greater if found.pre.is_empty() || asked => Verdict::Newer,
        std::cmp::Ordering::Greater => Verdict::Preview,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    const SUMS_TEXT: &str =
        "0000000000000000000000000000000000000000000000000000000000000000  polis.tar.gz\n";

    fn signed(pair: &KeyPair, text: &str, comment: &str) -> Vec<u8> {
        let text = Cursor::new(text.as_bytes().to_vec());
        let signature = minisign::sign(Some(&pair.pk), &pair.sk, text, Some(comment), None);
        signature.unwrap().into_string().into_bytes()
    }

    #[test]
    fn only_what_the_key_has_signed_is_a_statement() {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let key = pair.pk.to_base64();
        let good = signed(&pair, SUMS_TEXT, "Polis 1.2.3");
        let statement = verify(&key, &good, SUMS_TEXT.as_bytes()).unwrap();
        assert_eq!(statement.version, Version::new(1, 2, 3));
        assert!(statement.digest("polis.tar.gz").is_ok());
        assert!(statement.digest("polis").is_err());

        let stranger = KeyPair::generate_unencrypted_keypair().unwrap();
        let by_stranger = signed(&stranger, SUMS_TEXT, "Polis 1.2.3");
        let text = String::from_utf8(good.clone()).unwrap();
        let other_version = text.replace("Polis 1.2.3", "Polis 1.2.4").into_bytes();
        let rehearsal = signed(&pair, SUMS_TEXT, "Polis 1.2.3: REHEARSAL, not a release");
        let cases: [(&[u8], &str, &str); 6] = [
            (&good, "another list\n", "not the signature of this list"),
            (&by_stranger, SUMS_TEXT, "a different key"),
            (&other_version, SUMS_TEXT, "not the signature of this list"),
            (&rehearsal, SUMS_TEXT, "REHEARSAL"),
            (
                &good[..good.len() / 2],
                SUMS_TEXT,
                "not a valid minisign signature",
            ),
            (b"", SUMS_TEXT, "not a valid minisign signature"),
        ];
        for (signature, sums, expected) in cases {
            let why = verify(&key, signature, sums.as_bytes()).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn every_byte_of_the_signature_counts() {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let key = pair.pk.to_base64();
        let good = signed(&pair, SUMS_TEXT, "Polis 1.2.3");
        // The first line is an unsigned comment.
        let signed_from = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for at in signed_from..good.len() - 1 {
            let mut damaged = good.clone();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let verified = verify(&key, &damaged, SUMS_TEXT.as_bytes());
            assert!(verified.is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_checksum_is_listed_exactly_once() {
        let sums = format!("{SUMS_TEXT}{SUMS_TEXT}xyz  bad\n");
        let statement = Statement {
            version: Version::new(1, 0, 0),
            sums,
        };
        let why = |name| statement.digest(name).unwrap_err();
        assert!(why("polis.tar.gz").contains("twice"));
        assert!(why("bad").contains("not a SHA-256"));
        assert!(why("lis.tar.gz").contains("does not list"));
    }

    #[test]
    fn only_a_newer_release_is_installed() {
        let version = |text: &str| Version::parse(text).unwrap();
        for (current, found, asked, expected) in [
            ("1.2.3", "1.2.4", false, Verdict::Newer),
            ("1.2.3", "1.10.0", false, Verdict::Newer),
            ("1.2.3", "1.2.3", false, Verdict::Same),
            ("1.2.3", "1.2.2", false, Verdict::Older),
            ("1.2.3", "1.2.2", true, Verdict::Older),
            ("1.2.3", "1.3.0-rc.1", false, Verdict::Preview),
            ("1.2.3", "1.3.0-rc.1", true, Verdict::Newer),
            ("1.3.0-rc.1", "1.3.0", false, Verdict::Newer),
            ("1.3.0-dev", "1.3.0", false, Verdict::Newer),
            ("1.3.0-dev", "1.2.9", false, Verdict::Older),
        ] {
            let verdict = judge(&version(current), &version(found), asked);
            assert_eq!(verdict, expected, "{current} {found} {asked}");
        }
    }
}
