//! The one reqwest client behind downloads and GitHub: the same TLS, roots, proxy and patience.

use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, NoProxy, Proxy};

use crate::endpoint::Endpoints;
use crate::error::{NetError, chain};
use crate::{proxy, tls};

/// What we call ourselves.
pub(crate) const USER_AGENT: &str = concat!("polis-release/", env!("CARGO_PKG_VERSION"));
/// How many redirects are followed; GitHub's downloads need one.
pub(crate) const MOST_REDIRECTS: usize = 5;

/// A client as `endpoints` want it, with `redirects` as its policy, that gives up on an answer
/// after `silence` without a byte; an upload must not have that limit, it has none to read.
///
/// # Errors
/// When the extra root certificates or the proxy of the environment cannot be used.
pub(crate) fn client(
    endpoints: &Endpoints,
    redirects: Policy,
    silence: Option<Duration>,
) -> Result<Client, NetError> {
    tls::install_provider();
    let mut builder = Client::builder().no_proxy();
    if let Some(address) = proxy::https() {
        let around = NoProxy::from_string(&proxy::exceptions());
        let proxy = Proxy::https(address)
            .map_err(|error| NetError::protocol("HTTPS_PROXY", chain(&error)))?;
        builder = builder.proxy(proxy.no_proxy(around));
    }
    if let Some(silence) = silence {
        builder = builder.read_timeout(silence);
    }
    builder
        .user_agent(USER_AGENT)
        .redirect(redirects)
        .connect_timeout(endpoints.patience().connect)
        .tls_certs_merge(tls::extra_roots(endpoints)?)
        .build()
        .map_err(|error| NetError::protocol(tls::EXTRA_CA, chain(&error)))
}

/// A few redirects, none of them from https to plain http. reqwest takes the token off when a
/// redirect leads to another host.
pub(crate) fn careful() -> Policy {
    Policy::custom(|attempt: Attempt<'_>| {
        let clear = attempt.url().scheme() != "https";
        if clear && attempt.previous().iter().any(|url| url.scheme() == "https") {
            attempt.error("redirects from https to plain http")
        } else if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}
