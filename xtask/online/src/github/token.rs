//! The GitHub token: by environment only, never printed.

use std::env;
use std::fmt;

use crate::error::NetError;

/// The environment variable that holds the token.
pub const VARIABLE: &str = "GITHUB_TOKEN";

/// A GitHub token that may be sent in a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes `text`, without the white space around it, as a token.
    ///
    /// # Errors
    /// When it is empty or has a character that a header cannot carry; the message holds none
    /// of it.
    pub fn new(text: &str) -> Result<Self, NetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NetError::unauthorised(VARIABLE, "the token is empty"));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            let reason = "the token has a space or a character outside ASCII";
            return Err(NetError::unauthorised(VARIABLE, reason));
        }
        Ok(Self(text.to_owned()))
    }

    /// The token in `GITHUB_TOKEN`.
    ///
    /// # Errors
    /// When the variable is not set, or as [`Self::new`].
    pub fn from_env() -> Result<Self, NetError> {
        match env::var(VARIABLE) {
            Ok(text) => Self::new(&text),
            Err(_) => Err(NetError::unauthorised(VARIABLE, "is not set")),
        }
    }

    /// The secret itself, for the one header that carries it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_token_is_refused_without_being_shown() {
        for text in ["", "  ", "s3cret two", "s3cret\u{e9}"] {
            let error = Token::new(text).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        let token = Token::new("s3cret\n").unwrap();
        assert_eq!(token.reveal(), "s3cret");
        assert_eq!(format!("{token:?}"), "Token(redacted)");
    }
}
