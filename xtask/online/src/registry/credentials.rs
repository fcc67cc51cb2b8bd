//! Credentials for one registry. The secret is never printed.

use std::fmt;

use xtask_host::secrets::Secret;

/// A user name and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) user: String,
    pub(super) secret: Secret,
}

/// How to authenticate to one registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Anonymous,
    /// By user name and password, directly or in exchange for a token.
    Basic(Credentials),
    /// By an identity token, which the token server exchanges.
    Identity(String),
    /// By a token that the registry accepts directly.
    Bearer(String),
}

impl Credentials {
    /// Credentials for HTTP basic authentication, or to exchange for a token.
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
