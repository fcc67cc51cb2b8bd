//! The reqwest client for registries, downloads and GitHub: the same TLS, roots, proxy, time-outs and
//! redirect policy for all of them.

use std::time::{Duration, Instant};

use reqwest::header::LOCATION;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Method, NoProxy, Proxy, RequestBuilder, Response, StatusCode, Url};
use tracing::{debug, info};

use crate::endpoint::{Endpoints, authority};
use crate::error::{NetError, chain};
use crate::{proxy, tls};

/// The `User-Agent` of every request.
pub(crate) const USER_AGENT: &str = concat!("polis-release/", env!("CARGO_PKG_VERSION"));
/// How many redirects are followed; GitHub's downloads need one.
pub(crate) const MOST_REDIRECTS: usize = 5;

impl Endpoints {
    /// The client that follows no redirect by itself and gives up on an answer after
    /// [`RetryPolicy::read`](crate::RetryPolicy::read) without a byte.
    ///
    /// # Errors
    /// When the extra root certificates or the proxy of the environment cannot be used.
    pub(crate) fn client(&self) -> Result<Client, NetError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let made = client(self, Policy::none(), Some(self.retry_policy().read))?;
        Ok(self.client.get_or_init(|| made).clone())
    }
}

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
        .connect_timeout(endpoints.retry_policy().connect)
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
            info!(to = %bare(attempt.url().as_str()), "redirected");
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
        let address = endpoints.rewrite(&place).map_err(|error| error.at(url))?;
        let response = send(build(address, home), url).await?;
        let status = response.status();
        let location = response.headers().get(LOCATION);
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            return Ok(response);
        };
        let location = location.to_str().unwrap_or_default();
        let next = follow(&place, location).map_err(|reason| NetError::protocol(url, reason))?;
        home &= same_host(&place, &next);
        info!(to = %bare(&next), home, "redirected");
        place = next;
    }
    Err(NetError::protocol(
        url,
        format!("more than {MOST_REDIRECTS} redirects"),
    ))
}

/// Sends the one request that `builder` makes for `url`.
///
/// # Errors
/// Of kind `Unreachable` when no answer comes.
pub(crate) async fn send(builder: RequestBuilder, url: &str) -> Result<Response, NetError> {
    let (client, request) = builder.build_split();
    let request = request.map_err(|error| NetError::reqwest(url, error))?;
    let told = RequestLog::new(request.method(), request.url().as_str());
    let sent = client.execute(request).await;
    told.end(sent.as_ref().ok().map(|response| response.status()));
    sent.map_err(|error| NetError::reqwest(url, error))
}

/// A request in the log: never with its query, in which signatures travel, its headers or a body.
pub(crate) struct RequestLog {
    method: Method,
    url: String,
    begun: Instant,
}

impl RequestLog {
    /// A request that is about to be sent.
    pub(crate) fn new(method: &Method, url: &str) -> Self {
        let (method, url) = (method.clone(), bare(url));
        debug!(%method, %url, "request");
        let begun = Instant::now();
        Self { method, url, begun }
    }

    /// Logs the answer with `status`, or that there was none.
    pub(crate) fn end(self, status: Option<StatusCode>) {
        let Self { method, url, begun } = self;
        let ms = begun.elapsed().as_millis();
        match status {
            Some(status) => info!(%method, %url, status = status.as_u16(), ms, "answer"),
            None => info!(%method, %url, ms, "no answer"),
        }
    }
}

/// `url` without its possibly secret parts: user, query and fragment.
pub(crate) fn bare(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "(not a URL)".to_owned();
    };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let query = if url.query().is_some() { "?..." } else { "" };
    url.set_query(None);
    url.set_fragment(None);
    format!("{url}{query}")
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
    let Some(deadline) = endpoints.retry_policy().deadline else {
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
        .map_err(|error| format!("redirects to an invalid URL: {error}"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_gets_no_secret_of_an_address() {
        let cases = [
            (
                "https://u:s3cret@a.b/c?sig=s3cret#s3cret",
                "https://a.b/c?...",
            ),
            ("https://a.b/c", "https://a.b/c"),
            ("s3cret", "(not a URL)"),
        ];
        for (url, expected) in cases {
            assert_eq!(bare(url), expected);
        }
    }
}
