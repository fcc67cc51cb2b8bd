//! Content digests in the format of the OCI image specification: `sha256:` and 64 hex digits. A `Digest` is always valid.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";
const HEX_LEN: usize = 64;

/// A SHA-256 content digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The algorithm prefix is missing or is not `sha256`.
    #[error("{}", algorithm(.0))]
    Algorithm(String),
    /// The number of hex digits, which is not 64.
    #[error("a SHA-256 has {HEX_LEN} hex digits, this one has {0}")]
    Length(usize),
    /// A character that is not one of `0-9a-f`, and its offset in bytes.
    #[error("`{0}` at offset {1} is not a lower-case hex digit")]
    Character(char, usize),
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of the rest of `from`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_reader(mut from: impl Read) -> io::Result<Self> {
        let (mut hasher, mut buffer) = (Sha256::new(), [0; 1 << 16]);
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(Self::from_hasher(hasher)),
                count => hasher.update(&buffer[..count]),
            }
        }
    }

    /// The digest of a finished hasher.
    pub fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// Parses bare hexadecimal digits, as printed by `sha256sum`.
    ///
    /// # Errors
    /// When it is not exactly 64 lower-case hex digits.
    pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
        if let Some((at, c)) = hex
            .char_indices()
            .find(|(_, c)| !matches!(c, '0'..='9' | 'a'..='f'))
        {
            return Err(DigestError::Character(c, at));
        }
        if hex.len() != HEX_LEN {
            return Err(DigestError::Length(hex.len()));
        }
        let mut out = [0_u8; 32];
        for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Ok(Self(out))
    }

    /// The 64 hex digits without the algorithm.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is wrong with the algorithm `found`, which is empty where there is none.
fn algorithm(found: &str) -> String {
    match found {
        "" => "a digest must start with `sha256:`".to_owned(),
        _ => format!("digest algorithm `{found}` is not `sha256`"),
    }
}

/// The value of a hex digit, which the caller has checked.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit - b'a' + 10,
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.strip_prefix(PREFIX) {
            Some(hex) => Self::from_hex(hex),
            None => {
                let algorithm = text.split_once(':').map_or("", |(algorithm, _)| algorithm);
                Err(DigestError::Algorithm(algorithm.to_owned()))
            }
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hashing_a_reader_equals_hashing_its_bytes() {
        let bytes = vec![7; 200_000];
        let read = Digest::of_reader(bytes.as_slice()).unwrap();
        assert_eq!(read, Digest::of(&bytes));
    }

    #[test]
    fn parsing_reverses_printing() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn refuses_every_near_miss() {
        let hex = &EMPTY[PREFIX.len()..];
        let cases = [
            (hex.to_owned(), "a digest must start with `sha256:`"),
            (
                format!("sha512:{hex}"),
                "digest algorithm `sha512` is not `sha256`",
            ),
            (
                EMPTY[..70].to_owned(),
                "a SHA-256 has 64 hex digits, this one has 63",
            ),
            (
                format!("{EMPTY}0"),
                "a SHA-256 has 64 hex digits, this one has 65",
            ),
            (
                EMPTY.to_uppercase().replace("SHA", "sha"),
                "`E` at offset 0 is not a lower-case hex digit",
            ),
        ];
        for (text, message) in cases {
            let error = text.parse::<Digest>().expect_err(&text);
            assert_eq!(error.to_string(), message);
        }
    }
}
