//! Looks up every pin, each only once and all concurrently.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all, join3};
use futures_util::stream::{self, StreamExt as _};
use polis_base::ImageRef;
use reqwest::Client;
use tokio::sync::Semaphore;
use xtask_host::progress::Progress;
use xtask_pins::contract::{self, Contract};
use xtask_pins::inventory::{Action, Dependency, Download, Key, Pin};

use crate::client::{ask, in_time};
use crate::download::{hash_url, small_file};
use crate::endpoint::Endpoints;
use crate::error::NetError;
use crate::github::{Tags, Token};
use crate::openpgp;
use crate::published::Lists;
use crate::registry::{LinuxPlatform, Logins, Registry, SERVED};
use crate::retry::retry;
use crate::state::PinState;

/// How many images of one registry are looked up at once. Each takes two concurrent requests, which matches the limit
/// of the registry client.
const IMAGES_AT_ONCE: usize = 12;
/// The limit of concurrent requests to GitHub's API.
const AT_ONCE: usize = 8;
/// The size limit for key files.
const LARGEST_KEY: usize = 1024 * 1024;
/// Where Rust's releases are published.
const RUST: &str = "https://static.rust-lang.org/dist";

/// The clients that look up pins.
pub struct Verifier {
    endpoints: Endpoints,
    registry: Registry,
    tags: Tags,
    client: Client,
    gate: Semaphore,
    progress: Progress,
    contracts: Vec<Contract>,
    lists: Lists,
}

/// The requirements on an image.
#[derive(Debug, Clone, Copy, Default)]
struct Needed {
    /// Whether it must run on every platform that we support, and not only on the most common one.
    everywhere: bool,
    /// Whether it is built here, and so may not be published yet.
    built: bool,
}

impl Verifier {
    /// A verifier that connects through `endpoints`, to registries with `logins` and to GitHub with `token`, if given.
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address, the proxy or the extra root certificates cannot be used.
    pub fn new(
        endpoints: &Endpoints,
        logins: Logins,
        token: Option<&Token>,
        progress: Progress,
    ) -> Result<Self, NetError> {
        Ok(Self {
            registry: Registry::new(endpoints, logins)?,
            tags: Tags::new(endpoints, token)?,
            client: endpoints.client()?,
            endpoints: endpoints.clone(),
            gate: Semaphore::new(AT_ONCE),
            progress,
            contracts: Vec::new(),
            lists: Lists::default(),
        })
    }

    /// Also compares images with the digests that their publishers list, where `contracts` require it.
    #[must_use]
    pub fn with_contracts(mut self, contracts: Vec<Contract>) -> Self {
        self.contracts = contracts;
        self
    }

    /// The registry client. Reusing it saves authenticating again.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The state of each of `pins`, in order; `None` for those that are not pinned.
    pub async fn states(&self, pins: &[Pin]) -> Vec<Option<PinState>> {
        let (images, others) = join(
            self.images(pins),
            join_all(pins.iter().map(|pin| self.other(pin))),
        )
        .await;
        let states = pins.iter().zip(others).map(|(pin, other)| {
            let image = pin.image().and_then(|image| images.get(image));
            other.or_else(|| image.cloned())
        });
        states.collect()
    }

    /// The state of each pinned image. Several pins may name one image.
    async fn images(&self, pins: &[Pin]) -> BTreeMap<ImageRef, PinState> {
        let mut wanted: BTreeMap<&ImageRef, Needed> = BTreeMap::new();
        for pin in pins {
            if let Some(image) = pin.image().filter(|image| image.digest().is_some()) {
                let needed = wanted.entry(image).or_default();
                needed.built |= pin.built;
                needed.everywhere |= pin.built || matches!(pin.dependency, Dependency::Base(_));
            }
        }
        let mut registries: BTreeMap<&str, Vec<(ImageRef, Needed)>> = BTreeMap::new();
        for (image, needed) in wanted {
            let of_registry = registries.entry(image.registry()).or_default();
            of_registry.push((image.clone(), needed));
        }
        // A slow registry delays only its own images. A thousand images need no more memory than the first dozen,
        // because each future is created when its turn comes.
        let states = registries.into_values().map(|images| {
            let states = stream::iter(images).map(|(image, needed)| self.image(image, needed));
            states.buffer_unordered(IMAGES_AT_ONCE).collect::<Vec<_>>()
        });
        join_all(states).await.into_iter().flatten().collect()
    }

    async fn image(&self, image: ImageRef, needed: Needed) -> (ImageRef, PinState) {
        let Some(digest) = image.digest() else {
            return (image, PinState::ok());
        };
        let task = self.progress.task(format!("verify {}", image.unpinned()));
        let required = match needed.everywhere {
            true => &SERVED[..],
            false => &[LinuxPlatform::linux("amd64")],
        };
        let tag = async {
            match image.tag() {
                Some(_) => self.registry.confirm(&image, digest).await,
                None => Ok(digest),
            }
        };
        let told = async {
            let contract = contract::of_image(&self.contracts, &image.name())?;
            let list = &contract.digests.as_ref()?.value;
            let client = (&self.endpoints, &self.client);
            Some(self.lists.confirm(client, list, &image, digest).await)
        };
        let whole = self.registry.check_platforms(&image, required);
        let (tag, whole, told) = join3(tag, whole, told).await;
        let state = PinState::of_image(&image, digest, needed.built, tag, whole);
        let state = told.into_iter().fold(state, PinState::worse);
        task.done(state.kind.word());
        (image, state)
    }

    /// The state of a pin other than an image.
    async fn other(&self, pin: &Pin) -> Option<PinState> {
        pin.pinned()?;
        let state = match &pin.dependency {
            Dependency::Image(_) | Dependency::Base(_) => return None,
            Dependency::Download(download) => self.download(&pin.name(), download).await,
            Dependency::Key(key) => self.key(key).await,
            Dependency::Action(action) => self.action(action).await?,
            Dependency::Toolchain(channel) => self.toolchain(channel).await,
        };
        Some(state.unwrap_or_else(|error| PinState::failed(&error)))
    }

    async fn download(&self, name: &str, download: &Download) -> Result<PinState, NetError> {
        let task = self.progress.task(format!("download {name}"));
        let progress = |done, total| task.bytes(done, total);
        let (found, size) = hash_url(&self.endpoints, &download.url, progress).await?;
        task.done(&format!("{size} bytes"));
        Ok(match found == download.sha256 {
            true => PinState::ok(),
            false => PinState::mismatch(found),
        })
    }

    async fn key(&self, key: &Key) -> Result<PinState, NetError> {
        let url = &key.url;
        let file = small_file(&self.client, &self.endpoints, url, LARGEST_KEY).await?;
        let found = openpgp::primary_fingerprints(&file)
            .map_err(|reason| NetError::protocol(&key.url, reason))?;
        if found == [key.fingerprint.as_str()] {
            return Ok(PinState::ok());
        }
        let state = PinState::mismatch(match found.is_empty() {
            true => "the file contains no key".to_owned(),
            false => found.join(" "),
        });
        let reason = (found.len() > 1).then(|| {
            let keys = found.len();
            format!("the file contains {keys} keys, all of which would be trusted")
        });
        Ok(PinState { reason, ..state })
    }

    /// `None` for an action without a tag, because the files alone show that problem.
    async fn action(&self, action: &Action) -> Option<Result<PinState, NetError>> {
        let tag = action.tag.as_deref()?;
        let _place = self.gate.acquire().await;
        let found = self.tags.commit(&action.repository, tag).await;
        Some(found.map(|found| match found == action.reference {
            true => PinState::ok(),
            false => PinState::drifted(found),
        }))
    }

    async fn toolchain(&self, channel: &str) -> Result<PinState, NetError> {
        let url = format!("{RUST}/channel-rust-{channel}.toml");
        let fetch = || async {
            let response = ask(&self.endpoints, &url, |url, _| self.client.head(url)).await?;
            match response.status() {
                status if status.is_success() => Ok(PinState::ok()),
                status => {
                    let error = NetError::status(&url, status.as_u16(), "");
                    Err(error.after(response.headers()))
                }
            }
        };
        let policy = self.endpoints.retry_policy();
        retry(policy, || in_time(&self.endpoints, &url, fetch())).await
    }
}
