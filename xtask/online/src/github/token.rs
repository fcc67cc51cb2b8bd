//! The GitHub token: read only from the environment, never printed.

use xtask_host::secrets::{self, Secret};

use crate::error::NetError;

/// The environment variable that holds the token.
pub const VARIABLE: &str = secrets::GITHUB_TOKEN;

/// A GitHub token that is valid in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Secret);

impl Token {
    /// Parses a token, ignoring surrounding whitespace.
    ///
    /// # Errors
    /// If it is empty or contains a character that a header cannot carry. The message contains no part of it.
    pub fn new(text: &str) -> Result<Self, NetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NetError::unauthorised(VARIABLE, "the token is empty"));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            let reason = "the token has a space or a character outside ASCII";
            return Err(NetError::unauthorised(VARIABLE, reason));
        }
        Ok(Self(Secret::new(text)))
    }

    /// The token that `GITHUB_TOKEN` held at startup.
    ///
    /// # Errors
    /// If the variable is not set; otherwise as [`Self::new`].
    pub fn from_env() -> Result<Self, NetError> {
        match secrets::get(VARIABLE) {
            Some(secret) => Self::new(secret.reveal()),
            None => Err(NetError::unauthorised(VARIABLE, "is not set")),
        }
    }

    /// The token for pull requests: the separate one if set, or else `GITHUB_TOKEN`.
    ///
    /// # Errors
    /// If neither variable is set; otherwise as [`Self::new`].
    pub fn for_pull_requests() -> Result<Self, NetError> {
        match secrets::get(secrets::PULL_REQUEST_TOKEN) {
            Some(secret) => Self::new(secret.reveal()),
            None => Self::from_env(),
        }
    }

    /// Whether it is the `GITHUB_TOKEN` of a workflow, which may not change workflows. Other app tokens look the same,
    /// but come from a different variable.
    pub fn is_of_a_workflow(&self) -> bool {
        let own = secrets::get(secrets::PULL_REQUEST_TOKEN);
        self.is_of_an_app() && own.is_none()
    }

    /// Whether it belongs to an app, as `GITHUB_TOKEN` in a workflow does. GitHub gives those a distinct prefix (since
    /// April 2021).
    pub(crate) fn is_of_an_app(&self) -> bool {
        self.reveal().starts_with("ghs_")
    }

    /// The secret, for use in a header.
    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_an_invalid_token_does_not_show_it() {
        for text in ["", "  ", "s3cret two", "s3cret\u{e9}"] {
            let error = Token::new(text).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        let token = Token::new("s3cret\n").unwrap();
        assert_eq!(token.reveal(), "s3cret");
        assert_eq!(format!("{token:?}"), "Token(Secret(redacted))");
    }
}
