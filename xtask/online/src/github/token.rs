//! The GitHub token: by environment only, never printed.

use xtask_host::secrets::{self, Secret};

use crate::error::NetError;

/// The environment variable that holds the token.
pub const VARIABLE: &str = secrets::GITHUB_TOKEN;

/// A GitHub token that may be sent in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Secret);

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
        Ok(Self(Secret::new(text)))
    }

    /// The token that was in `GITHUB_TOKEN` when the program started.
    ///
    /// # Errors
    /// When the variable is not set, or as [`Self::new`].
    pub fn from_env() -> Result<Self, NetError> {
        match secrets::get(VARIABLE) {
            Some(secret) => Self::new(secret.reveal()),
            None => Err(NetError::unauthorised(VARIABLE, "is not set")),
        }
    }

    /// The token that proposes pins: one of its own, else that of `GITHUB_TOKEN`.
    ///
    /// # Errors
    /// When neither variable is set, or as [`Self::new`].
    pub fn for_pull_requests() -> Result<Self, NetError> {
        match secrets::get(secrets::PULL_REQUEST_TOKEN) {
            Some(secret) => Self::new(secret.reveal()),
            None => Self::from_env(),
        }
    }

    /// Whether it is the `GITHUB_TOKEN` of a workflow, which may change no workflow. That of an app looks the same, but
    /// comes by a variable of its own.
    pub fn is_of_a_workflow(&self) -> bool {
        let own = secrets::get(secrets::PULL_REQUEST_TOKEN);
        self.is_of_an_app() && own.is_none()
    }

    /// Whether it is one of an app, such as `GITHUB_TOKEN` in a workflow: GitHub gives those a prefix
    /// of their own (since April 2021).
    pub(crate) fn is_of_an_app(&self) -> bool {
        self.reveal().starts_with("ghs_")
    }

    /// The secret itself, for the one header that carries it.
    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal()
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
        assert_eq!(format!("{token:?}"), "Token(Secret(redacted))");
    }
}
