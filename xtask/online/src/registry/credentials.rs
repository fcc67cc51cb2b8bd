//! A login at one registry. Its secret is never printed.

use std::fmt;

use xtask_host::secrets::Secret;

/// A user name and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) user: String,
    pub(super) secret: Secret,
}

/// How to present ourselves at one registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Not at all.
    Anonymous,
    /// By user name and password: as they are, or in exchange for a token.
    Basic(Credentials),
    /// By an identity token, which the token server exchanges.
    Identity(String),
    /// By a token that the registry takes as it is.
    Bearer(String),
}

impl Credentials {
    /// Credentials for HTTP basic authentication, or to be exchanged for a token.
    pub fn new(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            secret: Secret::new(secret),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:(redacted)", self.user)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => write!(f, "Anonymous"),
            Self::Basic(credentials) => write!(f, "Basic({credentials:?})"),
            Self::Identity(_) => write!(f, "Identity(redacted)"),
            Self::Bearer(_) => write!(f, "Bearer(redacted)"),
        }
    }
}
