//! Sends requests to registries: one challenge per registry, one token per repository, a limited number of concurrent
//! requests, and errors by status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use polis_base::ImageRef;
use reqwest::header::{ACCEPT, HeaderMap, RANGE};
use reqwest::{Client, Method, Response, StatusCode};
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tracing::debug;

use super::challenge::{self, Challenge};
use super::credentials::{Credentials, Login};
use super::failure;
use super::login::Logins;
use super::media;
use super::token::{self, Token};
use crate::client::{ask, small_body};
use crate::endpoint::Endpoints;
use crate::error::NetError;
use crate::retry::retry;

/// The limit of concurrent requests to a registry: enough for the tags and manifests of eleven images at once. With
/// HTTP/2, they share a connection.
const AT_ONCE: usize = 24;
/// The size limit for manifests and configurations; registries reject larger manifests.
const LARGEST: usize = 4 * 1024 * 1024;
/// Docker Hub's name in references, and the host of its registry.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// The permissions of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actions {
    Pull,
    PullPush,
}

/// The credentials of a request.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Grant {
    Nothing,
    Basic(Credentials),
    Bearer(String),
}

/// A successful response.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The part of the client that reads.
pub(super) struct Access {
    client: Client,
    endpoints: Endpoints,
    logins: Logins,
    hosts: StdMutex<BTreeMap<String, Arc<Host>>>,
}

type Slot = Arc<Mutex<Option<Token>>>;

/// The state of one registry.
struct Host {
    name: String,
    gate: Semaphore,
    /// Separate, because a task that waits for a token may already hold a permit of `gate`.
    token_gate: Semaphore,
    login: OnceCell<Result<Login, NetError>>,
    /// Failures are cached, too, so that an unreachable registry is not tried again for every image.
    challenge: Mutex<Option<Result<Challenge, NetError>>>,
    tokens: StdMutex<BTreeMap<(String, Actions), Slot>>,
}

impl Actions {
    fn scope(self, repository: &str) -> String {
        match self {
            Self::Pull => format!("repository:{repository}:pull"),
            Self::PullPush => format!("repository:{repository}:pull,push"),
        }
    }
}

impl Access {
    /// A client that connects through `endpoints` with the credentials in `logins`.
    ///
    /// # Errors
    /// If the extra root certificates or the proxy of the environment cannot be used.
    pub(super) fn new(endpoints: &Endpoints, logins: Logins) -> Result<Self, NetError> {
        Ok(Self {
            client: endpoints.client()?,
            endpoints: endpoints.clone(),
            logins,
            hosts: StdMutex::default(),
        })
    }

    /// Requests `path` in the repository of `image`.
    ///
    /// # Errors
    /// By the status; `Unreachable` or `RateLimited` after all retries.
    pub(super) async fn request(
        &self,
        image: &ImageRef,
        method: Method,
        path: &str,
    ) -> Result<Answer, NetError> {
        let (host, url) = self.ready(image, path).await?;
        retry(self.endpoints.retry_policy(), || async {
            let grant = self.grant_at(&host, image, Actions::Pull).await?;
            // Our semaphores are never closed.
            let _place = host.gate.acquire().await;
            let exchange = self.exchange(&host, image, method.clone(), &url, grant);
            self.within(image, exchange).await
        })
        .await
        .map_err(|error| error.about(image))
    }

    /// Requests `path` in the repository of `image` from the byte `from`, and returns the response with its body
    /// unread. Does not retry, because only the reader of the body knows where to resume.
    ///
    /// # Errors
    /// By the status.
    pub(super) async fn open(
        &self,
        image: &ImageRef,
        path: &str,
        from: u64,
    ) -> Result<Response, NetError> {
        let (host, url) = self.ready(image, path).await?;
        let grant = self.grant_at(&host, image, Actions::Pull).await?;
        let _place = host.gate.acquire().await;
        let what = (Method::GET, from);
        let exchange = self.respond(&host, image, what, &url, grant);
        self.within(image, exchange).await
    }

    /// The registry of `image`, once its challenge is known, and the URL of `path`.
    async fn ready(&self, image: &ImageRef, path: &str) -> Result<(Arc<Host>, String), NetError> {
        let host = self.host(image.registry());
        let url = format!("{}{}/{path}", host.base(), image.repository());
        // Outside of the retries, because the challenge is cached, including a failure.
        let ready = host.login(&self.logins).await.map(drop);
        let ready = ready.and(self.challenge(&host).await.map(drop));
        ready.map_err(|error| error.about(image))?;
        Ok((host, url))
    }

    /// The credentials for `actions` in the repository of `image`.
    ///
    /// # Errors
    /// If a configured login is rejected or unavailable. It never falls back to anonymous access.
    pub(super) async fn grant(
        &self,
        image: &ImageRef,
        actions: Actions,
    ) -> Result<Grant, NetError> {
        let host = self.host(image.registry());
        let grant = self.grant_at(&host, image, actions).await;
        grant.map_err(|error| error.about(image))
    }

    async fn grant_at(
        &self,
        host: &Host,
        image: &ImageRef,
        actions: Actions,
    ) -> Result<Grant, NetError> {
        let login = host.login(&self.logins).await?;
        if let Login::Bearer(token) = login {
            return Ok(Grant::Bearer(token.clone()));
        }
        match self.challenge(host).await? {
            Challenge::Open => Ok(Grant::Nothing),
            Challenge::Basic => match login {
                Login::Basic(credentials) => Ok(Grant::Basic(credentials.clone())),
                Login::Identity(_) => {
                    let reason =
                        "the login is an identity token, but the registry requires a password";
                    Err(NetError::unauthorised(image, reason))
                }
                // The registry's own error is the best explanation.
                Login::Anonymous | Login::Bearer(_) => Ok(Grant::Nothing),
            },
            Challenge::Bearer(realm) => {
                let slot = host.slot(image.repository(), actions);
                let mut token = slot.lock().await;
                if let Some(token) = token.as_ref().filter(|token| token.is_fresh()) {
                    return Ok(Grant::Bearer(token.text.clone()));
                }
                let scope = actions.scope(image.repository());
                let _place = host.token_gate.acquire().await;
                let fetch = token::fetch(&self.client, &self.endpoints, &realm, &scope, login);
                let fetched = self.within(image, fetch).await?;
                let text = token.insert(fetched).text.clone();
                Ok(Grant::Bearer(text))
            }
        }
    }

    /// The state of `registry`.
    fn host(&self, registry: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Host::new(registry, &self.endpoints));
        Arc::clone(hosts.entry(registry.to_owned()).or_insert_with(fresh))
    }

    /// The challenge of `host`, requested only once for all tasks.
    async fn challenge(&self, host: &Host) -> Result<Challenge, NetError> {
        let mut known = host.challenge.lock().await;
        if let Some(known) = known.as_ref() {
            return known.clone();
        }
        let url = host.base();
        let found = retry(self.endpoints.retry_policy(), || {
            self.within(&url, async {
                let response = ask(&self.endpoints, &url, |url, _| self.client.get(url)).await?;
                match response.status() {
                    StatusCode::UNAUTHORIZED => challenge::read(response.headers())
                        .map_err(|reason| NetError::protocol(&url, reason)),
                    status if status.is_success() => Ok(Challenge::Open),
                    _ => Err(failure::of_response(&url, response).await),
                }
            })
        })
        .await;
        if let Ok(challenge) = &found {
            let scheme = match challenge {
                Challenge::Open => "none",
                Challenge::Basic => "basic",
                Challenge::Bearer(_) => "bearer",
            };
            debug!(host = host.name, scheme, "requires authentication");
        }
        known.insert(found).clone()
    }

    /// A request with a response that is small enough to buffer.
    async fn exchange(
        &self,
        host: &Host,
        image: &ImageRef,
        method: Method,
        url: &str,
        grant: Grant,
    ) -> Result<Answer, NetError> {
        let response = self.respond(host, image, (method, 0), url, grant).await?;
        let headers = response.headers().clone();
        let body = small_body(response, url, LARGEST).await?;
        Ok(Answer { headers, body })
    }

    /// A request from a given byte. Repeats it once if the registry no longer accepts our token, or asks for one only
    /// now.
    async fn respond(
        &self,
        host: &Host,
        image: &ImageRef,
        what: (Method, u64),
        url: &str,
        grant: Grant,
    ) -> Result<Response, NetError> {
        let mut response = self.send(&what, url, &grant).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(grant) = self.second(host, image, &response, &grant).await?
        {
            response = self.send(&what, url, &grant).await?;
        }
        match response.status().is_success() {
            true => Ok(response),
            false => Err(failure::of_response(image, response).await),
        }
    }

    async fn send(
        &self,
        (method, from): &(Method, u64),
        url: &str,
        grant: &Grant,
    ) -> Result<Response, NetError> {
        let accept = media::ACCEPTED.join(", ");
        ask(&self.endpoints, url, |address, home| {
            let request = self.client.request(method.clone(), address);
            let request = request.header(ACCEPT, &accept);
            let request = match from {
                0 => request,
                from => request.header(RANGE, format!("bytes={from}-")),
            };
            match grant {
                Grant::Basic(login) if home => {
                    request.basic_auth(&login.user, Some(login.secret.reveal()))
                }
                Grant::Bearer(token) if home => request.bearer_auth(token),
                _ => request,
            }
        })
        .await
    }

    /// The credentials to use after `grant` was rejected; `None` if there are no better ones.
    async fn second(
        &self,
        host: &Host,
        image: &ImageRef,
        refusal: &Response,
        grant: &Grant,
    ) -> Result<Option<Grant>, NetError> {
        let fixed = matches!(host.login(&self.logins).await?, Login::Bearer(_));
        match grant {
            Grant::Bearer(text) if !fixed => host.forget(image.repository(), text).await,
            Grant::Nothing => {
                // Some registries allow anonymous access to `/v2/` and require a login for other paths.
                let Ok(challenge) = challenge::read(refusal.headers()) else {
                    return Ok(None);
                };
                let mut known = host.challenge.lock().await;
                if known.as_ref() != Some(&Ok(Challenge::Open)) {
                    return Ok(None);
                }
                *known = Some(Ok(challenge));
            }
            Grant::Bearer(_) | Grant::Basic(_) => return Ok(None),
        }
        let second = self.grant_at(host, image, Actions::Pull).await?;
        Ok((second != *grant).then_some(second))
    }

    /// Limits the time of one exchange.
    async fn within<T>(
        &self,
        subject: impl std::fmt::Display,
        exchange: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, NetError> {
        let policy = self.endpoints.retry_policy();
        let limit = policy.left(policy.connect + policy.read);
        match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) => Err(NetError::unreachable(subject, "no response in time")),
        }
    }
}

impl Host {
    fn new(registry: &str, endpoints: &Endpoints) -> Self {
        let name = match registry == HUB.0 && !endpoints.moves(HUB.0) {
            true => HUB.1,
            false => registry,
        };
        Self {
            name: name.to_owned(),
            gate: Semaphore::new(AT_ONCE),
            token_gate: Semaphore::new(AT_ONCE),
            login: OnceCell::new(),
            challenge: Mutex::default(),
            tokens: StdMutex::default(),
        }
    }

    fn base(&self) -> String {
        format!("https://{}/v2/", self.name)
    }

    async fn login(&self, logins: &Logins) -> Result<&Login, NetError> {
        let registry = match self.name == HUB.1 {
            true => HUB.0,
            false => &self.name,
        };
        let login = self.login.get_or_init(|| logins.at(registry)).await;
        login.as_ref().map_err(Clone::clone)
    }

    fn slot(&self, repository: &str, actions: Actions) -> Slot {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = tokens.entry((repository.to_owned(), actions)).or_default();
        Arc::clone(slot)
    }

    /// Removes the token `text` from the cache, unless another task has already replaced it.
    async fn forget(&self, repository: &str, text: &str) {
        let slot = self.slot(repository, Actions::Pull);
        let mut token = slot.lock().await;
        if token.as_ref().is_some_and(|token| token.text == text) {
            *token = None;
        }
    }
}
