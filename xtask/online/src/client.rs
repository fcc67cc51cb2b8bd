//! The one reqwest client behind registries, downloads and GitHub: the same TLS, roots, proxy and
//! patience, and the one way in which a redirect is followed.

use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, NoProxy, Proxy, RequestBuilder, Response, Url};

use crate::endpoint::{Endpoints, authority};
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

/// The answer to the request that `build` makes for an address, after redirects: whatever its
/// status, but no redirect. They are followed here and not by reqwest, so that each passes through
/// the endpoints and none leads from https to plain http.
///
/// `build` also learns whether the address is still at the host of `url`: a secret goes no further.
///
/// # Errors
/// Of kind `Protocol` for an address that may not be used or too many redirects, `Unreachable`
/// when no answer comes.
pub(crate) async fn ask(
    endpoints: &Endpoints,
    url: &str,
    build: impl Fn(Url, bool) -> RequestBuilder,
) -> Result<Response, NetError> {
    let mut place = url.to_owned();
    let mut home = true;
    for _ in 0..=MOST_REDIRECTS {
        let address = endpoints
            .rewrite(&place)
            .map_err(|error| NetError::endpoint(url, &error))?;
        let sent = build(address, home).send().await;
        let response = sent.map_err(|error| NetError::reqwest(url, error))?;
        let status = response.status();
        let location = response.headers().get(LOCATION);
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            return Ok(response);
        };
        let location = location.to_str().unwrap_or_default();
        let next = follow(&place, location).map_err(|reason| NetError::protocol(url, reason))?;
        home &= same_host(&place, &next);
        place = next;
    }
    Err(NetError::protocol(
        url,
        format!("more than {MOST_REDIRECTS} redirects"),
    ))
}

/// `exchange` for `url`, unless the deadline comes first: an answer that drips is never silent for
/// long enough to be given up otherwise.
///
/// # Errors
/// As `exchange`, and of kind `Unreachable` when the deadline has passed.
pub(crate) async fn in_time<T>(
    endpoints: &Endpoints,
    url: &str,
    exchange: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    let Some(deadline) = endpoints.patience().deadline else {
        return exchange.await;
    };
    match tokio::time::timeout_at(deadline.into(), exchange).await {
        Ok(result) => result,
        Err(_) => Err(NetError::unreachable(url, "not done before the deadline")),
    }
}

/// Where a redirect from `from` to `location` leads.
fn follow(from: &str, location: &str) -> Result<String, String> {
    let from = Url::parse(from).map_err(|error| error.to_string())?;
    let next = from
        .join(location)
        .map_err(|error| format!("redirects to what is not a URL: {error}"))?;
    if from.scheme() == "https" && next.scheme() != "https" {
        let host = next.host_str().unwrap_or_default();
        return Err(format!(
            "redirects from https to plain {} at `{host}`",
            next.scheme()
        ));
    }
    Ok(next.into())
}

fn same_host(one: &str, other: &str) -> bool {
    let host = |url: &str| Url::parse(url).map(|url| authority(&url)).ok();
    host(one) == host(other)
}

/// The whole body of `response`, of at most `most` bytes, so that no server fills our memory.
///
/// # Errors
/// Of kind `Protocol` when it is larger, `Unreachable` when it does not come whole.
pub(crate) async fn small_body(
    mut response: Response,
    url: &str,
    most: usize,
) -> Result<Vec<u8>, NetError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() > most => {
                return Err(NetError::protocol(
                    url,
                    format!("more than {most} bytes where a small document was expected"),
                ));
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body),
            Err(error) => return Err(NetError::reqwest(url, error)),
        }
    }
}
