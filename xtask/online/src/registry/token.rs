//! Tokens for one repository, from a registry's token server.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tracing::info;

use super::challenge::Realm;
use super::credentials::Login;
use super::failure;
use crate::client::{bare, send, small_body};
use crate::endpoint::Endpoints;
use crate::error::NetError;

/// The lifetime in seconds if the server does not say; part of the protocol.
const LIFE: u64 = 60;
/// The longest lifetime that we trust. No run takes longer, and another token costs nothing.
const LONGEST: u64 = 24 * 60 * 60;
/// The size limit for responses; tokens of public registries have some kilobytes.
const LARGEST: usize = 256 * 1024;
/// Our name, where the protocol requires one.
const CLIENT: &str = "polis-release";

/// A token, and when to stop using it.
pub(super) struct Token {
    pub(super) text: String,
    until: Instant,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

impl Token {
    /// Whether it is still valid.
    pub(super) fn is_fresh(&self) -> bool {
        Instant::now() < self.until
    }
}

/// Requests a token with `scope` from the token server `realm`, authenticating with `login`.
///
/// # Errors
/// `Unauthorised` if the server rejects the login, `Protocol` if its response contains no token or redirects, because
/// passwords must not follow redirects.
pub(super) async fn fetch(
    client: &Client,
    endpoints: &Endpoints,
    realm: &Realm,
    scope: &str,
    login: &Login,
) -> Result<Token, NetError> {
    let unusable = |reason: String| NetError::protocol(&realm.url, reason);
    let address = |url: &str| endpoints.rewrite(url).map_err(|error| error.at(&realm.url));
    let url = realm.address(scope).map_err(unusable)?;
    let request = match login {
        Login::Identity(secret) => {
            let fields = [
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT),
                ("refresh_token", secret.as_str()),
            ];
            let form = realm.form(scope, &fields).map_err(unusable)?;
            let post = client.post(address(&realm.url)?).body(form);
            post.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        }
        Login::Basic(login) => client
            .get(address(url.as_str())?)
            .basic_auth(&login.user, Some(login.secret.reveal())),
        Login::Anonymous | Login::Bearer(_) => client.get(address(url.as_str())?),
    };
    let sent = Instant::now();
    let response = send(request, &realm.url).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let said = failure::said(response).await;
            let what = match login {
                Login::Anonymous => "the server issues no token without a login",
                _ => "the login was rejected",
            };
            return Err(NetError::unauthorised(
                &realm.url,
                format!("{what}: {said}"),
            ));
        }
        _ => return Err(failure::of_response(&realm.url, response).await),
    }
    let body = small_body(response, &realm.url, LARGEST).await?;
    let token = read(&body, sent).map_err(|reason| unusable(reason.to_owned()))?;
    let seconds = (token.until - sent).as_secs();
    info!(realm = %bare(&realm.url), scope, seconds, "token");
    Ok(token)
}

/// Parses the response to a request that was sent at `sent`.
pub(super) fn read(body: &[u8], sent: Instant) -> Result<Token, &'static str> {
    // serde's message may quote the token.
    let reply: Reply =
        serde_json::from_slice(body).map_err(|_| "the response contains no token")?;
    let text = match reply.token.is_empty() {
        true => reply.access_token,
        false => reply.token,
    };
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("the response contains no usable token");
    }
    // The registry's clock may differ, so the last sixth of the lifetime is not used.
    let life = reply.expires_in.unwrap_or(LIFE).clamp(1, LONGEST);
    let until = sent + Duration::from_secs(life - life / 6);
    Ok(Token { text, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excessive_lifetime_is_limited() {
        for life in ["18446744073709551615", "9223372036854775807", "4000000000"] {
            let body = format!(r#"{{"token": "a", "expires_in": {life}}}"#);
            let now = Instant::now();
            let token = read(body.as_bytes(), now).unwrap();
            assert_eq!(
                (token.until - now).as_secs(),
                LONGEST - LONGEST / 6,
                "{life}"
            );
        }
    }

    #[test]
    fn a_token_is_read_by_both_names() {
        let now = Instant::now();
        let life = |text: &str| {
            let token = read(text.as_bytes(), now).unwrap();
            (token.text, (token.until - now).as_secs())
        };
        assert_eq!(life(r#"{"token": "a"}"#), ("a".to_owned(), 50));
        let both = r#"{"access_token": "b", "expires_in": 300, "issued_at": "x"}"#;
        assert_eq!(life(both), ("b".to_owned(), 250));
        assert_eq!(life(r#"{"token": "a", "access_token": "b"}"#).0, "a");
        for text in ["", "[]", "{}", r#"{"token": "s3 cret"}"#, r#"{"token": 7}"#] {
            let error = read(text.as_bytes(), now).err().expect(text);
            assert!(!error.contains("s3"), "{error}");
        }
    }
}
