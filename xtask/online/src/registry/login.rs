//! Who we are to a registry. A secret comes by environment, belongs to one host and is never
//! printed.

use std::collections::BTreeMap;
use std::env;
use std::fmt;

use oci_client::secrets::RegistryAuth;

use crate::error::NetError;

/// The host that [`USER`] and [`PASSWORD`] are for; `ghcr.io` where it is not set.
pub const HOST: &str = "POLIS_REGISTRY";
/// The user name at the registry.
pub const USER: &str = "POLIS_REGISTRY_USER";
/// The password or token at the registry.
pub const PASSWORD: &str = "POLIS_REGISTRY_PASSWORD";

/// GitHub's registry, which takes a GitHub token as the password.
const GITHUB_REGISTRY: &str = "ghcr.io";
/// The user name beside a GitHub token that came without one; the registry reads the token only.
const TOKEN_USER: &str = "x-access-token";

/// A user name and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    secret: String,
}

/// The credentials by registry host. A host that is not listed is asked anonymously.
#[derive(Debug, Clone, Default)]
pub struct Logins(BTreeMap<String, Credentials>);

impl Credentials {
    /// Credentials for HTTP basic authentication, or to be exchanged for a token.
    pub fn new(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            secret: secret.into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:(redacted)", self.user)
    }
}

impl Logins {
    /// Anonymous everywhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// These logins with `credentials` at the registry `host`.
    #[must_use]
    pub fn with(mut self, host: &str, credentials: Credentials) -> Self {
        self.0.insert(host.to_owned(), credentials);
        self
    }

    /// What the environment gives: `POLIS_REGISTRY_USER` and `POLIS_REGISTRY_PASSWORD` for the
    /// host in `POLIS_REGISTRY` (`ghcr.io` by default), else `GITHUB_ACTOR` and `GITHUB_TOKEN`
    /// for `ghcr.io`.
    ///
    /// # Errors
    /// When only one of user and password is set: half a login is a mistake, not anonymity.
    pub fn from_env() -> Result<Self, NetError> {
        Self::from_vars(|name| env::var(name).ok())
    }

    fn from_vars(get: impl Fn(&str) -> Option<String>) -> Result<Self, NetError> {
        let get = |name| get(name).filter(|value| !value.is_empty());
        let mut logins = Self::none();
        if let Some(token) = get("GITHUB_TOKEN") {
            let user = get("GITHUB_ACTOR").unwrap_or_else(|| TOKEN_USER.to_owned());
            logins = logins.with(GITHUB_REGISTRY, Credentials::new(user, token));
        }
        let host = get(HOST).unwrap_or_else(|| GITHUB_REGISTRY.to_owned());
        match (get(USER), get(PASSWORD)) {
            (Some(user), Some(secret)) => Ok(logins.with(&host, Credentials::new(user, secret))),
            (None, None) => Ok(logins),
            (Some(_), None) => Err(half(&host, USER, PASSWORD)),
            (None, Some(_)) => Err(half(&host, PASSWORD, USER)),
        }
    }

    /// How to present ourselves at `host`.
    pub(super) fn auth(&self, host: &str) -> RegistryAuth {
        match self.0.get(host) {
            Some(login) => RegistryAuth::Basic(login.user.clone(), login.secret.clone()),
            None => RegistryAuth::Anonymous,
        }
    }
}

fn half(host: &str, set: &str, missing: &str) -> NetError {
    NetError::unauthorised(host, format!("{set} is set, {missing} is not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins(vars: &[(&str, &str)]) -> Result<Logins, NetError> {
        let vars: BTreeMap<_, _> = vars.iter().copied().collect();
        Logins::from_vars(|name| vars.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn a_secret_goes_to_its_own_host_only() {
        let logins = logins(&[
            ("GITHUB_TOKEN", "ghs_x"),
            (HOST, "registry.example"),
            (USER, "me"),
            (PASSWORD, "s3cret"),
        ])
        .unwrap();
        let basic = |user: &str, secret: &str| RegistryAuth::Basic(user.into(), secret.into());
        assert!(logins.auth("ghcr.io") == basic("x-access-token", "ghs_x"));
        assert!(logins.auth("registry.example") == basic("me", "s3cret"));
        assert!(logins.auth("docker.io") == RegistryAuth::Anonymous);
        let shown = format!("{logins:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("ghs_x"),
            "{shown}"
        );
    }

    #[test]
    fn half_a_login_is_an_error() {
        let error = logins(&[(USER, "me")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ghcr.io: access refused: POLIS_REGISTRY_USER is set, POLIS_REGISTRY_PASSWORD is not"
        );
        assert!(logins(&[(USER, ""), (PASSWORD, "")]).is_ok());
    }
}
