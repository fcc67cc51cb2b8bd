//! Who we are to a registry. A secret comes by environment, from Docker's configuration or from a
//! credential helper; it belongs to one host and is never printed.
//!
//! The most specific wins: `POLIS_REGISTRY_*`, then what `docker login` left, then the ambient
//! `GITHUB_TOKEN` for GitHub's registry. What is there but cannot be used is an error: a failed
//! login never becomes anonymous access.

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;

use xtask_host::secrets;

use super::credentials::{Credentials, Login};
use super::docker_config::{self, DockerConfig};
use crate::error::NetError;

/// The host that [`USER`] and [`PASSWORD`] are for; `ghcr.io` where it is not set.
pub const HOST: &str = "POLIS_REGISTRY";
/// The user name at the registry.
pub const USER: &str = "POLIS_REGISTRY_USER";
/// The password or token at the registry.
pub const PASSWORD: &str = secrets::REGISTRY_PASSWORD;

/// GitHub's registry, which takes a GitHub token as the password.
const GITHUB_REGISTRY: &str = "ghcr.io";
/// The user name beside a GitHub token that came without one; the registry reads the token only.
const TOKEN_USER: &str = "x-access-token";

/// Where logins come from. A host for which none is found is asked anonymously.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    named: BTreeMap<String, Credentials>,
    docker: Option<Arc<DockerConfig>>,
    ambient: BTreeMap<String, Credentials>,
}

impl Logins {
    /// Anonymous everywhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// These logins with `credentials` at the registry `host`.
    #[must_use]
    pub fn with(mut self, host: &str, credentials: Credentials) -> Self {
        self.named.insert(host.to_owned(), credentials);
        self
    }

    /// These logins with those of Docker's configuration.
    #[must_use]
    pub fn with_docker(mut self, config: DockerConfig) -> Self {
        self.docker = Some(Arc::new(config));
        self
    }

    /// What the environment gives: `POLIS_REGISTRY_USER` and `POLIS_REGISTRY_PASSWORD` for the
    /// host in `POLIS_REGISTRY` (`ghcr.io` by default), Docker's configuration, and `GITHUB_ACTOR`
    /// and `GITHUB_TOKEN` for `ghcr.io`.
    ///
    /// # Errors
    /// When only one of user and password is set, as half a login is a mistake and not anonymity;
    /// when Docker's configuration is there but cannot be read.
    pub fn from_env() -> Result<Self, NetError> {
        let mut logins = Self::from_vars(|name| match secrets::READ.contains(&name) {
            true => secrets::get(name).map(|secret| secret.reveal().to_owned()),
            false => env::var(name).ok(),
        })?;
        logins.docker = DockerConfig::from_env()?.map(Arc::new);
        Ok(logins)
    }

    /// These logins without the ambient GitHub token: to ask as those do who have none.
    #[must_use]
    pub fn without_ambient(mut self) -> Self {
        self.ambient.clear();
        self
    }

    fn from_vars(get: impl Fn(&str) -> Option<String>) -> Result<Self, NetError> {
        let get = |name| get(name).filter(|value| !value.is_empty());
        let mut logins = Self::none();
        if let Some(token) = get(secrets::GITHUB_TOKEN) {
            let user = get("GITHUB_ACTOR").unwrap_or_else(|| TOKEN_USER.to_owned());
            let credentials = Credentials::new(user, token);
            logins
                .ambient
                .insert(GITHUB_REGISTRY.to_owned(), credentials);
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
    ///
    /// # Errors
    /// When a login is configured for `host` but cannot be had.
    pub(super) async fn at(&self, host: &str) -> Result<Login, NetError> {
        if let Some(login) = self.named.get(host) {
            return Ok(Login::Basic(login.clone()));
        }
        if let Some(docker) = self.docker.clone() {
            let name = host.to_owned();
            // A helper is a program: it must not hold up the other look-ups.
            let found = tokio::task::spawn_blocking(move || docker.login(&name)).await;
            let found = found.map_err(|error| NetError::unauthorised(host, error.to_string()))?;
            if let Some(login) = found? {
                return Ok(login);
            }
        }
        Ok(match self.ambient.get(host) {
            Some(login) => Login::Basic(login.clone()),
            None => Login::Anonymous,
        })
    }

    /// Docker's configuration with the login at `host` and no other, as that of the registry `at`: for a program that
    /// is not ours.
    ///
    /// # Errors
    /// When a login is configured for `host` but cannot be had.
    pub(crate) async fn docker_config(&self, host: &str, at: &str) -> Result<String, NetError> {
        Ok(docker_config::write(at, &self.at(host).await?))
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

    #[tokio::test]
    async fn a_secret_goes_to_its_own_host_only() {
        let logins = logins(&[
            ("GITHUB_TOKEN", "ghs_x"),
            (HOST, "registry.example"),
            (USER, "me"),
            (PASSWORD, "s3cret"),
        ])
        .unwrap();
        let basic = |user: &str, secret: &str| Ok(Login::Basic(Credentials::new(user, secret)));
        assert_eq!(logins.at("ghcr.io").await, basic("x-access-token", "ghs_x"));
        assert_eq!(logins.at("registry.example").await, basic("me", "s3cret"));
        assert_eq!(logins.at("docker.io").await, Ok(Login::Anonymous));
        let shown = format!("{logins:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("ghs_x"),
            "{shown}"
        );
        let alone = logins.without_ambient();
        assert_eq!(alone.at("ghcr.io").await, Ok(Login::Anonymous));
        assert_eq!(alone.at("registry.example").await, basic("me", "s3cret"));
    }

    #[tokio::test]
    async fn docker_login_goes_before_the_ambient_token_and_after_what_is_named() {
        let text = r#"{"auths": {"ghcr.io": {"auth": "ZG9ja2VyOmxvZ2lu"}, "a.b": {}}}"#;
        let config = || DockerConfig::parse("config.json", text).unwrap();
        let basic = |user: &str, secret: &str| Ok(Login::Basic(Credentials::new(user, secret)));
        let ambient = logins(&[("GITHUB_TOKEN", "ghs_x")]).unwrap();
        let both = ambient.with_docker(config());
        assert_eq!(both.at("ghcr.io").await, basic("docker", "login"));
        assert_eq!(both.at("a.b").await, Ok(Login::Anonymous));
        let named = logins(&[(USER, "me"), (PASSWORD, "s3cret")]).unwrap();
        let named = named.with_docker(config());
        assert_eq!(named.at("ghcr.io").await, basic("me", "s3cret"));
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
