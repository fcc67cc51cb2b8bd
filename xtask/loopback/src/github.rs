//! The part of GitHub's API that a release and the nightly check need: releases and their assets, git tags, branches and
//! commits, attestations, issues, pull requests and workflow runs, with GitHub's rules on drafts, tokens, names,
//! validation and immutable releases.

mod assets;
mod call;
mod change;
mod disk;
mod git;
mod git_data;
mod graphql;
mod issues;
mod pulls;
mod refusal;
mod releases;
mod repository;
mod settings;
mod shape;
mod shared;
mod site;
mod state;
mod tags;
mod tracking;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use super::fault::Faults;
use super::journal::Journal;
use super::serve::{Door, Server};
use call::Call;
use git::Git;
use issues::Issues;
use settings::Settings;
use shared::Shared;
use state::RepositoryState;
use tags::Tag;

pub use settings::Probe;

/// GitHub's API on loopback for one repository; dropping it stops it, the files stay.
#[derive(Debug)]
pub struct EmbeddedGitHub {
    server: Server,
    shared: Arc<Shared>,
    faults: Faults,
}

impl EmbeddedGitHub {
    /// Serves the releases in the directory `root` as those of `owner/repo`; writing, and reading
    /// drafts, requires `token`.
    ///
    /// # Errors
    /// If the directory cannot be created or read, or no port is available.
    pub fn start(root: &Path, owner: &str, repo: &str, token: &str) -> io::Result<Self> {
        Self::start_with(root, owner, repo, token, &Faults::none())
    }

    /// As [`Self::start`], committing `faults`.
    ///
    /// # Errors
    /// If the directory cannot be created or read, or no port is available.
    pub fn start_with(
        root: &Path,
        owner: &str,
        repo: &str,
        token: &str,
        faults: &Faults,
    ) -> io::Result<Self> {
        Self::start_journaled(root, owner, repo, token, faults, &Journal::default())
    }

    /// As [`Self::start_with`], recording changes in `journal`.
    ///
    /// # Errors
    /// If the directory cannot be created or read, or no port is available.
    pub fn start_journaled(
        root: &Path,
        owner: &str,
        repo: &str,
        token: &str,
        faults: &Faults,
        journal: &Journal,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            state: Mutex::new(RepositoryState::open(root, &format!("{owner}/{repo}"))?),
            issues: Mutex::new(Issues::open(root)?),
            git: Mutex::new(Git::open(root)?),
            token: token.to_owned(),
            owner: owner.to_owned(),
            repo: repo.to_owned(),
        });
        Ok(Self {
            server: Server::start(router(&shared, faults, journal))?,
            shared,
            faults: faults.clone(),
        })
    }

    /// Another port for the same repository, with the same faults and a separate journal.
    ///
    /// # Errors
    /// If no port is available.
    pub fn door(&self, journal: &Journal) -> io::Result<Door> {
        Door::open(router(&self.shared, &self.faults, journal))
    }

    /// `http://127.0.0.1:PORT`, for `api.github.com`, `uploads.github.com` and `github.com`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Stops after the requests in progress.
    pub async fn stop(self) {
        self.server.stop().await;
    }

    /// Creates the annotated tag `tag` on `commit`, or moves it there, as a push would; returns the
    /// object ID of the tag, which is the one git would compute.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn tag(&self, tag: &str, commit: &str) -> io::Result<String> {
        let made = Tag::annotated(tag, commit);
        let object = made.sha().to_owned();
        self.shared.state().set_tag(tag, Some(made))?;
        Ok(object)
    }

    /// Creates the lightweight tag `tag` on `commit`, or moves it there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn tag_lightweight(&self, tag: &str, commit: &str) -> io::Result<()> {
        let made = Tag::Lightweight(commit.to_owned());
        self.shared.state().set_tag(tag, Some(made))
    }

    /// Deletes `tag`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn untag(&self, tag: &str) -> io::Result<()> {
        self.shared.state().set_tag(tag, None)
    }

    /// Adds a file to a release without applying any rule; returns its id. In a `state` other than
    /// `uploaded` it has size 0 and no digest.
    ///
    /// # Errors
    /// If there is no such release, or the file cannot be written.
    pub fn plant_asset(
        &self,
        release: u64,
        name: &str,
        bytes: &[u8],
        state: &str,
    ) -> io::Result<u64> {
        let mut world = self.shared.state();
        world.plant_asset(release, name, bytes, state)
    }

    /// Whether publishing makes a release immutable; false by default.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_immutable(&self, on: bool) -> io::Result<()> {
        self.set(|settings| settings.immutable = on)
    }

    /// The answer of `immutable-releases`; [`Probe::Forbidden`] by default.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_probe(&self, probe: Probe) -> io::Result<()> {
        self.set(|settings| settings.probe = probe)
    }

    /// Whether the token may push; true by default.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_push(&self, may: bool) -> io::Result<()> {
        self.set(|settings| settings.push = may)
    }

    /// Whether users have a `gravatar_id`; without one it is null.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_gravatar(&self, has: bool) -> io::Result<()> {
        self.set(|settings| settings.gravatar = has)
    }

    /// Whether the labels of an issue are plain names; objects by default.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_plain_labels(&self, plain: bool) -> io::Result<()> {
        self.set(|settings| settings.plain_labels = plain)
    }

    /// Makes the next `requests` for the attestation of a release find none; forgotten on restart.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_attestation_lag(&self, requests: usize) -> io::Result<()> {
        self.set(|settings| settings.attestation_lag = requests)
    }

    /// Whether a subject without attestations gets an empty list; 404 by default.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_empty_attestations(&self, list: bool) -> io::Result<()> {
        self.set(|settings| settings.empty_list = list)
    }

    /// Whether the token may change workflows; true by default. The token of a workflow never may.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_workflows(&self, may: bool) -> io::Result<()> {
        self.set(|settings| settings.workflows = may)
    }

    /// Makes or moves `branch` by a commit of `files` (by path their mode and text) and nothing else on what it names,
    /// as a person's push would; returns the name of the commit.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(
        &self,
        branch: &str,
        message: &str,
        files: &BTreeMap<String, (&str, String)>,
    ) -> io::Result<String> {
        self.shared.git().push(branch, message, files)
    }

    /// The files of the commit that `branch` names, by path their mode and text; `None` if the branch does not exist.
    pub fn files(&self, branch: &str) -> BTreeMap<String, (String, String)> {
        self.shared.git().files(branch)
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) -> io::Result<()> {
        self.shared.state().set(change)
    }
}

fn router(shared: &Arc<Shared>, faults: &Faults, journal: &Journal) -> Router {
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(shared));
    journal.before(faults.before(router), "github")
}

async fn answer(
    axum::extract::State(shared): axum::extract::State<Arc<Shared>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.ok();
    let call = Call::new(&shared, parts, body);
    match call.and_then(|call| call.route()) {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}
