//! State that all request handlers share.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::git::Git;
use super::issues::Issues;
use super::state::RepositoryState;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: PathBuf,
    pub(super) state: Mutex<RepositoryState>,
    pub(super) issues: Mutex<Issues>,
    pub(super) git: Mutex<Git>,
    pub(super) token: String,
    pub(super) owner: String,
    pub(super) repo: String,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, RepositoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn git(&self) -> MutexGuard<'_, Git> {
        self.git.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
