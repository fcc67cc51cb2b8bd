//! Credentials for registries. A secret comes from the environment, Docker's configuration or a credential helper; it
//! is for one host and is never printed.
//!
//! The most specific source wins: `POLIS_REGISTRY_*`, then the credentials of `docker login`, then the ambient
//! `GITHUB_TOKEN` for GitHub's registry. Credentials that exist but cannot be used are an error: a failed login never
//! becomes anonymous access.

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;

use xtask_host::secrets;

use super::credentials::{Credentials, Login};
use super::docker_config::{self, DockerConfig};
use crate::error::NetError;

/// The host for [`USER`] and [`PASSWORD`]; `ghcr.io` if not set.
pub const HOST: &str = "POLIS_REGISTRY";
/// The user name for the registry.
pub const USER: &str = "POLIS_REGISTRY_USER";
/// The password or token for the registry.
pub const PASSWORD: &str = secrets::REGISTRY_PASSWORD;

/// GitHub's registry, which accepts a GitHub token as the password.
const GITHUB_REGISTRY: &str = "ghcr.io";
/// The user name to send with a GitHub token if none is known; the registry ignores it.
const TOKEN_USER: &str = "x-access-token";

/// The sources of credentials. Hosts without credentials are accessed anonymously.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    named: BTreeMap<String, Credentials>,
    docker: Option<Arc<DockerConfig>>,
    ambient: BTreeMap<String, Credentials>,
}

impl Logins {
    /// No credentials for any host.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds `credentials` for the registry `host`.
    #[must_use]
    pub fn with(mut self, host: &str, credentials: Credentials) -> Self {
        self.named.insert(host.to_owned(), credentials);
        self
    }

    /// Adds the credentials in Docker's configuration.
    #[must_use]
    pub fn with_docker(mut self, config: DockerConfig) -> Self {
        self.docker = Some(Arc::new(config));
        self
    }

    /// The credentials of the environment: `POLIS_REGISTRY_USER` and `POLIS_REGISTRY_PASSWORD` for the host in
    /// `POLIS_REGISTRY` (`ghcr.io` by default), Docker's configuration, and `GITHUB_ACTOR` and `GITHUB_TOKEN` for
    /// `ghcr.io`.
    ///
    /// # Errors
    /// If only one of user and password is set, which is more likely a mistake than anonymous access; or if Docker's
    /// configuration exists but cannot be read.
    pub fn from_env() -> Result<Self, NetError> {
        let mut logins = Self::from_vars(|name| match secrets::READ.contains(&name) {
            true => secrets::get(name).map(|secret| secret.reveal().to_owned()),
            false => env::var(name).ok(),
        })?;
        logins.docker = DockerConfig::from_env()?.map(Arc::new);
        Ok(logins)
    }

    /// Removes the ambient GitHub token, to access the registry as users without one do.
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

    /// How to authenticate to `host`.
    ///
    /// # Errors
    /// If a login is configured for `host` but unavailable.
    pub(super) async fn at(&self, host: &str) -> Result<Login, NetError> {
        if let Some(login) = self.named.get(host) {
            return Ok(Login::Basic(login.clone()));
        }
        if let Some(docker) = self.docker.clone() {
            let name = host.to_owned();
            // A helper is a program, so it must not block other lookups.
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

    /// A Docker configuration with only the login for `host`, stored for the registry `at`: for a third-party program.
    ///
    /// # Errors
    /// If a login is configured for `host` but unavailable.
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
    async fn a_secret_is_only_sent_to_its_host() {
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
    async fn credentials_have_a_fixed_precedence() {
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
    fn an_incomplete_login_is_an_error() {
        let error = logins(&[(USER, "me")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ghcr.io: access denied: POLIS_REGISTRY_USER is set, POLIS_REGISTRY_PASSWORD is not"
        );
        assert!(logins(&[(USER, ""), (PASSWORD, "")]).is_ok());
    }
}
