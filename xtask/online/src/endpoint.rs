//! Endpoint overrides, timeouts and retries of the clients.
//!
//! Rehearsals, mirrors and tests use the same code as a release, and only map public hosts to other addresses. The map
//! applies to every request and every redirect, so nothing bypasses it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::{Client, Url};

use crate::error::NetError;
use crate::retry::RetryPolicy;

/// The configuration of the clients: endpoint overrides, an extra root certificate, timeouts and retries.
#[derive(Clone, Default)]
pub struct Endpoints {
    overrides: BTreeMap<String, Url>,
    extra_ca: Option<Vec<u8>>,
    retry_policy: RetryPolicy,
    /// Created on first use and shared by all clones, because reading the root certificates takes longer than many
    /// requests.
    pub(crate) client: Arc<OnceLock<Client>>,
}

/// Why an endpoint override or an address was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The override is not `HOST=URL`.
    #[error("`{0}` is not of the form `HOST=URL`, as in `ghcr.io=http://127.0.0.1:5000`")]
    Form(String),
    /// The URL does not parse; holds the URL and the reason.
    #[error("`{0}` is not a valid URL: {1}")]
    Url(String, String),
    /// The URL is neither https, nor http to a loopback address.
    #[error("`{0}` is not allowed: use https, or http to a loopback address")]
    Plain(String),
    /// The URL contains a user name or a password.
    #[error(
        "a URL with a user name or password is not allowed; pass credentials in the environment"
    )]
    Secret,
    /// The URL of an override has more than a scheme, a host and a port.
    #[error("`{0}` has a path or a query; an override is only scheme, host and port")]
    Path(String),
    /// The host is mapped twice.
    #[error("`{0}` occurs twice")]
    Twice(String),
}

impl Endpoints {
    /// No overrides.
    pub fn public() -> Self {
        Self::default()
    }

    /// Parses overrides of the form `HOST=URL`. `HOST` is a host as references and URLs name it (`ghcr.io`,
    /// `127.0.0.1:5000`), `URL` is `https://...`, or `http://...` to a loopback address.
    ///
    /// # Errors
    /// The first override that is invalid or repeats a host.
    pub fn parse<I>(texts: I) -> Result<Self, EndpointError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut endpoints = Self::default();
        for text in texts {
            let text = text.as_ref();
            let (host, url) = text
                .split_once('=')
                .filter(|(host, _)| is_authority(host))
                .ok_or_else(|| EndpointError::Form(text.to_owned()))?;
            if endpoints.overrides.contains_key(host) {
                return Err(EndpointError::Twice(host.to_owned()));
            }
            endpoints = endpoints.with(host, url)?;
        }
        Ok(endpoints)
    }

    /// Maps `host` to `url`, replacing an earlier override.
    ///
    /// # Errors
    /// If `url` is not an acceptable origin.
    pub fn with(mut self, host: &str, url: &str) -> Result<Self, EndpointError> {
        let parsed = allowed(url)?;
        if parsed.path() != "/" || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(EndpointError::Path(url.to_owned()));
        }
        self.overrides.insert(host.to_owned(), parsed);
        Ok(self)
    }

    /// Trusts the certificates in `pem` in addition to those of the system.
    #[must_use]
    pub fn with_extra_ca(mut self, pem: Vec<u8>) -> Self {
        self.extra_ca = Some(pem);
        self.client = Arc::default();
        self
    }

    /// Sets the timeouts and retries.
    #[must_use]
    pub fn with_retry_policy(mut self, retry_policy: RetryPolicy) -> Self {
        self.retry_policy = retry_policy;
        self.client = Arc::default();
        self
    }

    /// Sets a deadline, `limit` from now.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.retry_policy.deadline = Some(Instant::now() + limit);
        self
    }

    /// The timeouts and retries.
    pub fn retry_policy(&self) -> RetryPolicy {
        self.retry_policy
    }

    /// The extra root certificates, in PEM.
    pub fn extra_ca(&self) -> Option<&[u8]> {
        self.extra_ca.as_deref()
    }

    /// `host:port` of every override that uses http.
    pub(crate) fn plain_hosts(&self) -> Vec<String> {
        let plain = self.overrides.values().filter(|url| url.scheme() == "http");
        plain.map(authority).collect()
    }

    /// The origin for `host`: the override, or else `https://HOST`.
    ///
    /// # Errors
    /// If `host` is not a valid host.
    pub fn base(&self, host: &str) -> Result<Url, EndpointError> {
        match self.overrides.get(host) {
            Some(url) => Ok(url.clone()),
            None if is_authority(host) => allowed(&format!("https://{host}")),
            None => Err(EndpointError::Form(host.to_owned())),
        }
    }

    /// Whether requests for `host` are redirected.
    pub(crate) fn moves(&self, host: &str) -> bool {
        self.overrides.contains_key(host)
    }

    /// `url` with its origin replaced if its host is mapped.
    ///
    /// # Errors
    /// If it is not a URL, contains a secret, or would use http to another machine.
    pub fn rewrite(&self, url: &str) -> Result<Url, EndpointError> {
        let mut parsed = parse_url(url)?;
        let Some(base) = self.overrides.get(&authority(&parsed)) else {
            return allowed(url);
        };
        // Setting the port and scheme of an http(s) URL with a host never fails.
        let _ = parsed.set_scheme(base.scheme());
        let _ = parsed.set_host(base.host_str());
        let _ = parsed.set_port(base.port());
        Ok(parsed)
    }
}

/// `host` or `host:port` of a URL, as references write it.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn is_authority(host: &str) -> bool {
    !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
}

fn parse_url(text: &str) -> Result<Url, EndpointError> {
    let url = Url::parse(text).map_err(|error| {
        // Text that is not a URL may contain a password, so do not repeat it.
        let shown = if text.contains('@') {
            "(not shown)"
        } else {
            text
        };
        EndpointError::Url(shown.to_owned(), error.to_string())
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::Secret);
    }
    Ok(url)
}

/// Parses an acceptable URL: https, or http that does not leave this machine.
fn allowed(text: &str) -> Result<Url, EndpointError> {
    let url = parse_url(text)?;
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) {
        Ok(url)
    } else {
        Err(EndpointError::Plain(text.to_owned()))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overrides = self
            .overrides
            .iter()
            .map(|(host, url)| (host, url.as_str()));
        f.debug_map().entries(overrides).finish()
    }
}

impl EndpointError {
    /// Converts it to a network error about `url`.
    pub(crate) fn at(&self, url: impl fmt::Display) -> NetError {
        // `url` may be what contains the secret.
        match self {
            Self::Secret => NetError::protocol("(not shown)", self.to_string()),
            _ => NetError::protocol(url, self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_host_is_replaced_and_others_stay_public() {
        let endpoints = Endpoints::parse(["github.com=http://127.0.0.1:81"]).unwrap();
        let cases = [
            ("https://github.com/a?b=c", "http://127.0.0.1:81/a?b=c"),
            ("https://github.com:8443/a", "https://github.com:8443/a"),
            ("https://ghcr.io/v2/", "https://ghcr.io/v2/"),
            ("http://localhost:1/x", "http://localhost:1/x"),
            ("http://[::1]:1/x", "http://[::1]:1/x"),
        ];
        for (url, expected) in cases {
            assert_eq!(endpoints.rewrite(url).unwrap().as_str(), expected);
        }
        let base = endpoints.base("ghcr.io").unwrap();
        assert_eq!(base.as_str(), "https://ghcr.io/");
        assert_eq!(
            authority(&endpoints.base("github.com").unwrap()),
            "127.0.0.1:81"
        );
    }

    #[test]
    fn rejects_plain_http_and_secrets_in_urls() {
        let plain = "is not allowed: use https, or http to a loopback address";
        let cases = [
            (
                "ghcr.io",
                "`ghcr.io` is not of the form `HOST=URL`, as in `ghcr.io=http://127.0.0.1:5000`".to_owned(),
            ),
            (
                "a.b=http://10.0.0.1:5000",
                format!("`http://10.0.0.1:5000` {plain}"),
            ),
            (
                "a.b=http://127.0.0.1.evil.org",
                format!("`http://127.0.0.1.evil.org` {plain}"),
            ),
            ("a.b=ftp://localhost", format!("`ftp://localhost` {plain}")),
            (
                "a.b=https://u:s3cret@c.d",
                "a URL with a user name or password is not allowed; pass credentials in the environment"
                    .to_owned(),
            ),
            (
                "a.b=https://c.d/e",
                "`https://c.d/e` has a path or a query; an override is only scheme, host and port"
                    .to_owned(),
            ),
            (
                "a.b=https://:",
                "`https://:` is not a valid URL: empty host".to_owned(),
            ),
        ];
        for (text, message) in cases {
            let error = Endpoints::parse([text]).expect_err(text);
            assert_eq!(error.to_string(), message);
        }
        let twice = Endpoints::parse(["a.b=https://c.d", "a.b=https://e.f"]).unwrap_err();
        assert_eq!(twice.to_string(), "`a.b` occurs twice");
        let error = Endpoints::public()
            .rewrite("http://github.com/x")
            .unwrap_err();
        assert_eq!(
            error,
            EndpointError::Plain("http://github.com/x".to_owned())
        );
    }
}
