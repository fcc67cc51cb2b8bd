//! Keeps the secrets that these programs read out of the environment.
//!
//! Every child inherits the environment: cargo, the compiler, the build scripts and procedural macros of a hundred
//! crates, git, Docker. A program therefore moves its secrets out of its environment at startup ([`take`]) and hands
//! each to the one place that needs it ([`get`]). `process::Run` also passes only harmless variables on, so that
//! secrets not named here do not reach a child either.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::sync::OnceLock;

use zeroize::Zeroize as _;

/// The text of the minisign secret key file that signs releases.
pub const SIGNING_KEY: &str = "POLIS_MINISIGN_SECRET_KEY";
/// The password of that key.
pub const SIGNING_PASSWORD: &str = "POLIS_MINISIGN_PASSWORD";
/// The token for GitHub and its container registry.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// The token that opens pull requests for pins, if a different one: it may change workflows.
pub const PULL_REQUEST_TOKEN: &str = "POLIS_PULL_REQUEST_TOKEN";
/// The password for another registry.
pub const REGISTRY_PASSWORD: &str = "POLIS_REGISTRY_PASSWORD";

/// The secrets that our programs read.
pub const READ: [&str; 5] = [
    SIGNING_KEY,
    SIGNING_PASSWORD,
    GITHUB_TOKEN,
    PULL_REQUEST_TOKEN,
    REGISTRY_PASSWORD,
];

/// Secrets that may be in the environment but that our programs never need: those of GitHub's own client, and those
/// with which a job of GitHub Actions proves its identity or accesses caches and artifacts.
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

/// A text that is never printed, and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
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

/// Takes every secret out of the environment. `program::main` calls this first, while there is only one thread. Later
/// calls do nothing.
///
/// On Unix, the values are also overwritten in place, because `/proc/PID/environ` shows the memory that the kernel
/// filled at startup. Copies can remain elsewhere: the parent process, such as a shell, may keep its own; `/proc`
/// exposes ours until this call; and a process of the same user that may trace us can read our memory.
pub fn take() {
    TAKEN.get_or_init(|| {
        let taken = READ.into_iter().chain(UNUSED);
        let taken = taken.filter_map(|name| Some((name, remove(name)?)));
        taken.filter(|(name, _)| READ.contains(name)).collect()
    });
}

/// The secret that the variable `name` held when [`take`] was called. An empty value counts as missing, because GitHub
/// Actions sets a secret that does not exist to the empty string.
pub fn get(name: &str) -> Option<&'static Secret> {
    let secret = TAKEN.get()?.get(name)?;
    (!secret.0.trim().is_empty()).then_some(secret)
}

fn remove(name: &str) -> Option<Secret> {
    let value = env::var_os(name)?;
    #[expect(
        unsafe_code,
        reason = "only `take` calls this, at the start of `main`, where no other thread can read the environment"
    )]
    // SAFETY: there is only one thread, so nothing else reads or changes the environment, and we hold no pointer into
    // it. `getenv` returns null or a C string of `value.len()` bytes and its terminator, in writable memory.
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
    // Keep a value that is not UTF-8, so that its parser rejects it instead of finding it unset.
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
    fn a_secret_is_never_printed() {
        let secret = Secret::new("s3cret");
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(secret.reveal(), "s3cret");
    }
}
