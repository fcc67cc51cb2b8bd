//! The HTTP client for registries, downloads and GitHub. All of them share the same TLS setup, roots, proxy, timeouts
//! and redirect policy.

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
/// The limit on redirects; GitHub's downloads need one.
pub(crate) const MOST_REDIRECTS: usize = 5;

impl Endpoints {
    /// A client that does not follow redirects and aborts after [`RetryPolicy::read`](crate::RetryPolicy::read) without
    /// a byte.
    ///
    /// # Errors
    /// If the extra root certificates or the proxy of the environment cannot be used.
    pub(crate) fn client(&self) -> Result<Client, NetError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let made = client(self, Policy::none(), Some(self.retry_policy().read))?;
        Ok(self.client.get_or_init(|| made).clone())
    }
}

/// A client for `endpoints` with the redirect policy `redirects` that aborts after `silence` without a byte of the
/// answer. Uploads must not have that limit, because nothing arrives while they send.
///
/// # Errors
/// If the extra root certificates or the proxy of the environment cannot be used.
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

/// Follows a few redirects, but none from https to http. reqwest removes the token when a redirect leads to another
/// host.
pub(crate) fn redirect_policy() -> Policy {
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

/// The response to the request that `build` makes, after redirects, whatever its status. Redirects are followed here
/// instead of by reqwest, so that each is mapped through the endpoints and none leads from https to http.
///
/// `build` learns whether the address is still on the host of `url`, because secrets must not go further.
///
/// # Errors
/// `Protocol` for an unacceptable address or too many redirects, `Unreachable` without a response.
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

/// Sends the single request that `builder` describes for `url`.
///
/// # Errors
/// `Unreachable` without a response.
pub(crate) async fn send(builder: RequestBuilder, url: &str) -> Result<Response, NetError> {
    let (client, request) = builder.build_split();
    let request = request.map_err(|error| NetError::reqwest(url, error))?;
    let told = RequestLog::new(request.method(), request.url().as_str());
    let sent = client.execute(request).await;
    told.end(sent.as_ref().ok().map(|response| response.status()));
    sent.map_err(|error| NetError::reqwest(url, error))
}

/// Logs one request, without its query (which may contain signatures), headers and body.
pub(crate) struct RequestLog {
    method: Method,
    url: String,
    begun: Instant,
}

impl RequestLog {
    /// Call this just before the request is sent.
    pub(crate) fn new(method: &Method, url: &str) -> Self {
        let (method, url) = (method.clone(), bare(url));
        debug!(%method, %url, "request");
        let begun = Instant::now();
        Self { method, url, begun }
    }

    /// Logs the status, or that there was no response.
    pub(crate) fn end(self, status: Option<StatusCode>) {
        let Self { method, url, begun } = self;
        let ms = begun.elapsed().as_millis();
        match status {
            Some(status) => info!(%method, %url, status = status.as_u16(), ms, "answer"),
            None => info!(%method, %url, ms, "no response"),
        }
    }
}

/// `url` without parts that may be secret: user, query and fragment.
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

/// Runs `exchange` for `url` until the deadline. A response that arrives byte by byte would never exceed the read
/// timeout.
///
/// # Errors
/// As `exchange`; `Unreachable` after the deadline.
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
        Err(_) => Err(NetError::unreachable(
            url,
            "not completed before the deadline",
        )),
    }
}

/// The target of a redirect from `from` to `location`.
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

/// The whole body of `response`, up to `most` bytes, so that no server can exhaust our memory.
///
/// # Errors
/// `Protocol` if it is larger, `Unreachable` if it is incomplete.
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
    fn no_secret_of_a_url_is_logged() {
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
