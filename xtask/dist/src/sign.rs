//! Detached minisign signatures over `SHA256SUMS`.

use std::io::Cursor;

use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox, SignatureBox};

use xtask::error::{Error, Outcome, Result};

/// The variable that holds the secret key: the text of a minisign key file.
pub const KEY_VARIABLE: &str = "POLIS_MINISIGN_SECRET_KEY";
/// The variable that holds its password.
pub const PASSWORD_VARIABLE: &str = "POLIS_MINISIGN_PASSWORD";
/// Where the public key stands in the tree.
pub const PUBLIC_KEY: &str = "minisign.pub";

/// A key that signs a release.
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(secret)")
    }
}

impl SigningKey {
    /// The maintainers' key, from the environment.
    ///
    /// # Errors
    /// When it is not set, is no key, or its password is missing or wrong.
    pub fn from_env() -> Result<Self> {
        let text = std::env::var(KEY_VARIABLE).map_err(|_| {
            Error::new(Outcome::Network, format!("`{KEY_VARIABLE}` is not set"))
                .because("a release without a signature is no release")
                .hint(format!("put the text of the minisign secret key file into `{KEY_VARIABLE}` and its password into `{PASSWORD_VARIABLE}`"))
        })?;
        Self::from_text(&text, std::env::var(PASSWORD_VARIABLE).ok())
    }

    fn from_text(text: &str, password: Option<String>) -> Result<Self> {
        let failed = |why: String| {
            Error::new(
                Outcome::Network,
                format!("`{KEY_VARIABLE}` does not give a signing key"),
            )
            .because(why)
        };
        let parse = || SecretKeyBox::from_string(text).map_err(|error| failed(error.to_string()));
        let secret = match password {
            Some(password) => parse()?.into_secret_key(Some(password)),
            None => parse()?.into_unencrypted_secret_key(),
        };
        let secret = secret.map_err(|error| {
            failed(error.to_string()).hint(format!("is `{PASSWORD_VARIABLE}` the key's password?"))
        })?;
        let public =
            PublicKey::from_secret_key(&secret).map_err(|error| failed(error.to_string()))?;
        Ok(Self { secret, public })
    }

    /// A key made for a rehearsal, and for nothing after it.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn for_rehearsal() -> Result<Self> {
        let pair = KeyPair::generate_unencrypted_keypair().map_err(|error| {
            Error::machine("cannot make a signing key").because(error.to_string())
        })?;
        Ok(Self {
            secret: pair.sk,
            public: pair.pk,
        })
    }

    /// The public key file, as `minisign -p` reads it.
    ///
    /// # Errors
    /// Never for a key that signs; the library's signature allows one.
    pub fn public_key_file(&self) -> Result<String> {
        let public = self.public.to_box().map_err(|error| {
            Error::machine("cannot write the public key").because(error.to_string())
        })?;
        Ok(public.into_string())
    }

    /// Whether `file`, a public key file, is this key's.
    pub fn matches(&self, file: &str) -> bool {
        let base64 = self.public.to_base64();
        file.lines().any(|line| line.trim() == base64)
    }

    /// Whether `signature`, a signature file, is this key's over `bytes`. Two signatures over the
    /// same bytes differ: a signature made earlier is as good as a new one.
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

    /// The signature file over `bytes`; `comment` is signed with them.
    ///
    /// # Errors
    /// When the machine gives no randomness.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_and_another_text_does_not() {
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

    #[test]
    fn an_encrypted_key_needs_its_password() {
        let pair = KeyPair::generate_encrypted_keypair(Some("p".to_owned())).unwrap();
        let text = pair.sk.to_box(None).unwrap().into_string();
        assert!(SigningKey::from_text(&text, Some("p".to_owned())).is_ok());
        for password in [None, Some("q".to_owned())] {
            let error = SigningKey::from_text(&text, password).expect_err("no key");
            assert_eq!(error.outcome, Outcome::Network);
            assert!(!error.to_string().contains(&text));
        }
        assert!(SigningKey::from_text("not a key", None).is_err());
    }
}
