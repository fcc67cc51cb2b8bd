//! The secrets that these programs read, kept out of the environment.
//!
//! Every child inherits the environment: cargo, the compiler, each build script and procedural
//! macro of a hundred crates, git, Docker. So a program takes its secrets at its very start
//! ([`take`]), removes them from its environment, and hands each to the one place that uses it
//! ([`get`]). `process::Run` passes on a list of harmless variables besides, so that a secret which
//! is not named here reaches no child either.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::sync::OnceLock;

use zeroize::Zeroize as _;

/// The text of the minisign secret key file that signs releases.
pub const SIGNING_KEY: &str = "POLIS_MINISIGN_SECRET_KEY";
/// The password of that key.
pub const SIGNING_PASSWORD: &str = "POLIS_MINISIGN_PASSWORD";
/// The token for GitHub, and for its registry.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// The token that proposes pins, where it is another: one that may change workflows.
pub const PULL_REQUEST_TOKEN: &str = "POLIS_PULL_REQUEST_TOKEN";
/// The password at another registry.
pub const REGISTRY_PASSWORD: &str = "POLIS_REGISTRY_PASSWORD";

/// The secrets that we read.
pub const READ: [&str; 5] = [
    SIGNING_KEY,
    SIGNING_PASSWORD,
    GITHUB_TOKEN,
    PULL_REQUEST_TOKEN,
    REGISTRY_PASSWORD,
];

/// The secrets that are in an environment for others, and that none of our programs needs: those of
/// GitHub's own client, and those with which a job of GitHub Actions proves its identity, or reads
/// and writes caches and artifacts.
pub const UNUSED: [&str; 7] = [
    "GH_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_RUNTIME_TOKEN",
    "COSIGN_PASSWORD",
];

static TAKEN: OnceLock<BTreeMap<&'static str, Secret>> = OnceLock::new();

/// A text that nothing prints and that is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that uses it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Takes every secret out of the environment. `program::main` calls it first, before there is a
/// second thread; later calls change nothing.
///
/// On Unix the values are overwritten where they stand, so that `/proc/PID/environ`, which shows
/// the memory that the kernel filled at the start and not the current variables, holds them no
/// longer either. What remains: what started us may keep its own copy, as a shell does; until this
/// is called `/proc` shows ours; and a process of the same user that may trace us reads our memory.
pub fn take() {
    TAKEN.get_or_init(|| {
        let taken = READ.into_iter().chain(UNUSED);
        let taken = taken.filter_map(|name| Some((name, remove(name)?)));
        taken.filter(|(name, _)| READ.contains(name)).collect()
    });
}

/// The secret that the variable `name` held when [`take`] was called. An empty one counts as
/// missing: that is what GitHub Actions makes of a secret which does not exist.
pub fn get(name: &str) -> Option<&'static Secret> {
    let secret = TAKEN.get()?.get(name)?;
    (!secret.0.trim().is_empty()).then_some(secret)
}

/// Removes the variable `name` and returns its value.
fn remove(name: &str) -> Option<Secret> {
    let value = env::var_os(name)?;
    #[expect(
        unsafe_code,
        reason = "only `take` calls this, at the start of `main`, where no other thread can read the environment"
    )]
    // SAFETY: there is one thread, so nobody else reads or changes the environment, and no pointer
    // into it is held. `getenv` returns null or a C string of `value.len()` bytes and its
    // terminator, in memory that the process may write.
    unsafe {
        #[cfg(unix)]
        if let Ok(name) = std::ffi::CString::new(name) {
            let at = getenv(name.as_ptr());
            if !at.is_null() {
                at.write_bytes(0, value.len());
            }
        }
        env::remove_var(name);
    }
    // One that is not UTF-8 stays recognisable as set; whoever parses it will refuse it.
    Some(Secret(value.to_string_lossy().into_owned()))
}

#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "the C library's own function is the only way to the bytes that `/proc/PID/environ` shows"
)]
unsafe extern "C" {
    fn getenv(name: *const std::ffi::c_char) -> *mut std::ffi::c_char;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("s3cret");
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(secret.reveal(), "s3cret");
    }
}
