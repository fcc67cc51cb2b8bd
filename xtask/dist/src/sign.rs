//! Detached minisign signatures over `SHA256SUMS`.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{ErrorKind, KeyPair, PError, PublicKey, SecretKey, SecretKeyBox, SignatureBox};

use xtask_host::error::{Error, Outcome, Result};
use xtask_host::secrets::{self, Secret};
use zeroize::Zeroizing;

/// The variable with the secret key, as the text of a minisign key file.
pub const KEY_VARIABLE: &str = secrets::SIGNING_KEY;
/// The variable with the password of the key.
pub const PASSWORD_VARIABLE: &str = secrets::SIGNING_PASSWORD;
/// The path of the public key in the tree.
pub const PUBLIC_KEY: &str = "minisign.pub";

/// The note about a signing key without a password.
pub const UNPROTECTED: &str =
    "the signing key has no password: anyone who reads it can sign releases";

/// The bytes of a key file that say how the key is encrypted; they follow the two bytes of the signature algorithm.
/// See "Secret key format" in minisign's manual.
const KDF: std::ops::Range<usize> = 2..4;

/// A key that signs a release.
#[derive(Clone)]
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
    protected: bool,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(secret)")
    }
}

impl SigningKey {
    /// The maintainers' key, from the environment at startup.
    ///
    /// # Errors
    /// If it is not set or not a key, or its password is missing, wrong or not needed.
    pub fn from_env() -> Result<Self> {
        let text = secrets::get(KEY_VARIABLE).ok_or_else(|| {
            Error::new(Outcome::Network, format!("`{KEY_VARIABLE}` is not set"))
                .because("every release must be signed")
                .hint(format!("put the text of the minisign secret key file into `{KEY_VARIABLE}` and its password into `{PASSWORD_VARIABLE}`"))
        })?;
        let password = secrets::get(PASSWORD_VARIABLE);
        Self::from_text(text.reveal(), password.map(Secret::reveal))
    }

    /// The key in `text`, a key file, decrypted by `password`. Ignores a line break at the end of the password, because
    /// files and `echo` add one.
    ///
    /// # Errors
    /// As [`Self::from_env`]. No error contains any part of the key or the password.
    fn from_text(text: &str, password: Option<&str>) -> Result<Self> {
        let password = password.map(|password| password.trim_end_matches(['\r', '\n']));
        let password = password.filter(|password| !password.is_empty());
        let (bytes, encrypted) = decode(text).ok_or_else(|| {
            failed("it is not the text of a minisign secret key file").hint(
                "use the complete file that `minisign -G -s FILE` wrote: a comment and a line of base64",
            )
        })?;
        let key = SecretKeyBox::from_string(text).map_err(library)?;
        let secret = match (encrypted, password) {
            (true, Some(password)) => key.into_secret_key(Some(password.to_owned())),
            // From the bytes, because `minisign -G -W` writes no checksum and the library's own reader requires one.
            (false, None) => SecretKey::from_bytes(&bytes),
            (true, None) => {
                let why = format!("the key is encrypted, but `{PASSWORD_VARIABLE}` is not set");
                return Err(
                    failed(why).hint(format!("put its password into `{PASSWORD_VARIABLE}`"))
                );
            }
            (false, Some(_)) => {
                let why = format!("`{PASSWORD_VARIABLE}` is set, but the key is not encrypted");
                return Err(failed(why).hint(format!(
                    "check that it is the right key; set a password with `minisign -C -s FILE`, or unset `{PASSWORD_VARIABLE}`"
                )));
            }
        };
        let secret = secret.map_err(|error| match error.kind() {
            ErrorKind::Verify => failed(format!(
                "`{PASSWORD_VARIABLE}` is not the password of the key"
            )),
            _ => library(error),
        })?;
        let key = Self {
            public: PublicKey::from_secret_key(&secret).map_err(library)?,
            secret,
            protected: encrypted,
        };
        match key
            .sign(b"", "")
            .is_ok_and(|signed| key.verifies(&signed, b""))
        {
            true => Ok(key),
            false => Err(failed("it is damaged: its signatures do not verify")),
        }
    }

    /// Whether the key was encrypted. If not, show [`UNPROTECTED`].
    pub fn is_protected(&self) -> bool {
        self.protected
    }

    /// Generates a key for one rehearsal.
    ///
    /// # Errors
    /// If the system provides no randomness.
    pub fn for_rehearsal() -> Result<Self> {
        let pair = KeyPair::generate_unencrypted_keypair().map_err(|error| {
            Error::machine("cannot make a signing key").because(error.to_string())
        })?;
        Ok(Self {
            secret: pair.sk,
            public: pair.pk,
            protected: false,
        })
    }

    /// The public key file, as `minisign -p` reads it.
    ///
    /// # Errors
    /// Never for a valid key, although the library's signature allows it.
    pub fn public_key_file(&self) -> Result<String> {
        let public = self.public.to_box().map_err(|error| {
            Error::machine("cannot write the public key").because(error.to_string())
        })?;
        Ok(public.into_string())
    }

    /// Whether the public key file `file` belongs to this key.
    pub fn matches(&self, file: &str) -> bool {
        let base64 = self.public.to_base64();
        file.lines().any(|line| line.trim() == base64)
    }

    /// Whether the signature file `signature` is by this key over `bytes`. Signatures are randomized, so two over the
    /// same bytes differ.
    pub fn verifies(&self, signature: &str, bytes: &[u8]) -> bool {
        SignatureBox::from_string(signature).is_ok_and(|signature| {
            minisign::verify(
                &self.public,
                &signature,
                Cursor::new(bytes),
                true,
                false,
                false,
            )
            .is_ok()
        })
    }

    /// A signature file over `bytes`, with `comment` as its trusted comment.
    ///
    /// # Errors
    /// If the system provides no randomness.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String> {
        let signature = minisign::sign(
            Some(&self.public),
            &self.secret,
            bytes,
            Some(comment),
            Some(comment),
        )
        .map_err(|error| Error::machine("cannot sign").because(error.to_string()))?;
        Ok(signature.into_string())
    }
}

/// The key in the key file `text`, and whether it is encrypted; `None` if it contains no key.
fn decode(text: &str) -> Option<(Zeroizing<Vec<u8>>, bool)> {
    let line = text.lines().nth(1)?;
    let key = Zeroizing::new(STANDARD.decode(line.trim()).ok()?);
    let encrypted = match key.get(KDF)? {
        b"Sc" => true,
        [0, 0] => false,
        _ => return None,
    };
    Some((key, encrypted))
}

fn failed(why: impl Into<String>) -> Error {
    let message = format!("`{KEY_VARIABLE}` does not contain a usable signing key");
    Error::new(Outcome::Network, message).because(why)
}

/// The library's error, without values that it may quote.
fn library(error: PError) -> Error {
    failed(match error.kind() {
        ErrorKind::KDF => "cannot check its password: the key requires too much memory",
        _ => "it is damaged",
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xtask_host::process::Run;

    use super::*;

    #[test]
    fn only_the_signed_text_verifies() {
        let key = SigningKey::for_rehearsal().unwrap();
        let (one, other) = (
            key.sign(b"sums", "c").unwrap(),
            key.sign(b"sums", "c").unwrap(),
        );
        assert_ne!(one, other);
        assert!(key.verifies(&one, b"sums") && key.verifies(&other, b"sums"));
        assert!(!key.verifies(&one, b"sumz"));
        assert!(!key.verifies("", b"sums"));
        let stranger = SigningKey::for_rehearsal().unwrap();
        assert!(!key.verifies(&stranger.sign(b"sums", "c").unwrap(), b"sums"));
        assert!(key.matches(&key.public_key_file().unwrap()));
        let other = SigningKey::for_rehearsal().unwrap();
        assert!(!other.matches(&key.public_key_file().unwrap()));
    }

    /// The error when `text` and `password` give no key. It contains neither.
    fn refusal(text: &str, password: Option<&str>) -> String {
        let error = SigningKey::from_text(text, password).expect_err("no key");
        assert_eq!(error.outcome, Outcome::Network);
        let said = error.to_string();
        let secret = text.lines().nth(1).unwrap_or(text);
        assert!(secret.is_empty() || !said.contains(secret), "{said}");
        assert!(!said.contains("pass word"), "{said}");
        said
    }

    #[test]
    fn an_encrypted_key_needs_its_password() {
        let pair = KeyPair::generate_encrypted_keypair(Some("pass word ".to_owned())).unwrap();
        let text = pair.sk.to_box(None).unwrap().into_string();
        for password in ["pass word ", "pass word \n", "pass word \r\n"] {
            let key = SigningKey::from_text(&text, Some(password)).unwrap();
            assert!(key.is_protected());
        }
        for password in [None, Some(""), Some("\n")] {
            let said = refusal(&text, password);
            assert!(said.contains("the key is encrypted, but"), "{said}");
        }
        for password in ["q", "pass word"] {
            let said = refusal(&text, Some(password));
            assert!(said.contains("is not the password of the key"), "{said}");
        }
    }

    #[test]
    fn a_key_without_a_password_is_detected() {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let text = pair.sk.to_box(None).unwrap().into_string();
        assert!(!SigningKey::from_text(&text, None).unwrap().is_protected());
        let said = refusal(&text, Some("pass word"));
        assert!(said.contains("the key is not encrypted"), "{said}");
    }

    /// Keys generated by minisign itself, which also verifies the signatures.
    #[test]
    fn keys_generated_by_minisign_can_sign() {
        if !xtask_testkit::has_part("minisign") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for (options, input, password) in [
            (&["-G"][..], "pass word\npass word\n", Some("pass word\n")),
            (&["-G", "-W"], "", None),
        ] {
            let minisign = |args: &[&str], input: &str| {
                let run = Run::new("minisign").args(args).cwd(dir.path());
                let answer = run.converse(input, Duration::from_secs(60)).unwrap();
                assert!(answer.success, "{args:?}: {}", answer.stderr);
            };
            minisign(
                &[options, &["-f", "-p", "key.pub", "-s", "key"]].concat(),
                input,
            );
            let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
            let key = SigningKey::from_text(&read("key"), password).unwrap();
            assert_eq!(key.is_protected(), password.is_some());
            assert!(key.matches(&read("key.pub")));
            let signature = key.sign(b"sums", "Polis 1.2.3").unwrap();
            std::fs::write(dir.path().join("sums"), "sums").unwrap();
            std::fs::write(dir.path().join("sums.minisig"), signature).unwrap();
            minisign(&["-V", "-p", "key.pub", "-m", "sums"], "");
            if password.is_none() {
                // A password would only make it slower.
                minisign(&["-S", "-s", "key", "-m", "sums"], "");
                assert!(key.verifies(&read("sums.minisig"), b"sums"));
            }
        }
    }

    #[test]
    fn the_error_for_an_invalid_key_does_not_show_it() {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let text = pair.sk.to_box(None).unwrap().into_string();
        let public = pair.pk.to_box().unwrap().into_string();
        let line = text.lines().nth(1).unwrap();
        let cut = format!("c\n{}", &line[..line.len() / 2 / 4 * 4]);
        let spoilt = format!(
            "c\n{}{}",
            &line[..100],
            &line[100..].replacen(&line[100..104], "AAAA", 1)
        );
        for text in ["", "not a key", line, "c\n!!!", &public, &cut, &spoilt] {
            refusal(text, None);
        }
        assert!(refusal(&spoilt, None).contains("damaged"));
        assert!(refusal(&public, None).contains("not the text of a minisign secret key"));
    }
}
