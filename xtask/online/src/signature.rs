//! Verifies signatures of images with `cosign`.
//!
//! What is signed, by whom and how the transparency log proves it is defined by Sigstore and changes with it, so we run
//! its own program. It gets a directory with the one login that it needs and none of our secrets; its output and time
//! are limited.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::try_join_all;
use polis_base::{Digest, ImageRef};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use xtask_host::error::{Error, Result};
use xtask_host::process::{Answer, Run};
use xtask_host::progress::Progress;
use xtask_host::tree;
use xtask_pins::contract::{Contract, Signer, of_image};
use xtask_pins::inventory::Pin;

use crate::endpoint::{Endpoints, authority};
use crate::error::excerpt;
use crate::registry::{DIRECTORY, Logins};
use crate::state::{PinState, PinStatus};

const COSIGN: &str = "cosign";
const INSTALL: &str =
    "https://docs.sigstore.dev/cosign/system_config/installation/ says how to install it";
/// The time limit for one image. Keyless verification also downloads Sigstore's keys.
const LIMIT: Duration = Duration::from_secs(60);
/// How many images are verified at once: each takes a process of some 50 MB.
const AT_ONCE: usize = 4;
/// The exit codes for an image without a signature, without a valid one, or without a certificate; from cosign's
/// `cmd/cosign/errors/exit_codes.go`.
const REFUSED: [i32; 3] = [10, 12, 13];

/// Messages that mean that there was no response: from Go's network library and the client for Sigstore's keys.
const NO_ANSWER: [&str; 6] = [
    "dial tcp",
    "i/o timeout",
    "connection reset",
    "deadline exceeded",
    "TLS handshake",
    "tuf: failed to download",
];
/// The file for the extra root certificate in a scratch directory.
const CA: &str = "ca.pem";

/// A `cosign` that is ready to verify.
pub struct Cosign {
    root: PathBuf,
    endpoints: Endpoints,
    logins: Logins,
    contracts: Vec<Contract>,
    gate: Semaphore,
    progress: Progress,
}

/// How many images have the signature that their contracts require.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Images with the required signature.
    pub verified: usize,
    /// Images without it, or that could not be verified.
    pub failed: usize,
    /// Images that were skipped because they are not pinned or do not exist.
    pub left_out: usize,
}

/// The fields of `cosign version --json` that we read.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    version: String,
}

impl Cosign {
    /// Finds a `cosign` that can verify the signatures that `contracts` require; key files are below `root`.
    ///
    /// # Errors
    /// If it is missing, fails, or is too old to see a signature.
    pub fn find(
        root: &Path,
        endpoints: &Endpoints,
        logins: Logins,
        contracts: Vec<Contract>,
        progress: Progress,
    ) -> Result<Self> {
        let answer = Run::new(COSIGN)
            .args(["version", "--json"])
            .converse("", LIMIT);
        let answer = answer.map_err(|error| error.hint(INSTALL))?;
        let found = serde_json::from_str(&answer.stdout);
        let found = found.map_or_else(|_| "unknown".to_owned(), |Version { version }| version);
        let needed = contracts.iter().filter_map(|contract| {
            let signature = &contract.signature.as_ref()?.value;
            Some((signature.cosign?, &contract.source.path))
        });
        if let Some((needed, path)) = needed.max()
            && major(&found).is_none_or(|found| found < needed)
        {
            let message = format!("cosign {needed} or newer is required");
            let because = format!(
                "the cosign on PATH is version `{}`; according to `{path}`, older versions report signed images as unsigned",
                excerpt(&found)
            );
            return Err(Error::machine(message).because(because).hint(INSTALL));
        }
        Ok(Self {
            root: root.to_owned(),
            endpoints: endpoints.clone(),
            logins,
            contracts,
            gate: Semaphore::new(AT_ONCE),
            progress,
        })
    }

    /// Verifies each pin that has a signer and exists, and sets its state to the worse of the two.
    ///
    /// # Errors
    /// If a key file cannot be used, or this machine fails.
    pub async fn verify(&self, pins: &[Pin], states: &mut [Option<PinState>]) -> Result<Count> {
        let known = pins.iter().zip(states.iter());
        let checks = known.map(|(pin, state)| self.check(pin, state.as_ref()));
        let checked = try_join_all(checks).await?;
        let mut count = Count::default();
        for (state, check) in states.iter_mut().zip(checked) {
            match check {
                Check::NotNeeded => {}
                Check::LeftOut => count.left_out += 1,
                Check::Done(found) => {
                    match found.kind {
                        PinStatus::Ok => count.verified += 1,
                        _ => count.failed += 1,
                    }
                    *state = state.take().map(|state| state.worse(found));
                }
            }
        }
        Ok(count)
    }

    async fn check(&self, pin: &Pin, state: Option<&PinState>) -> Result<Check> {
        let signed =
            |image: &ImageRef| of_image(&self.contracts, &image.name())?.signature.as_ref();
        let Some((image, signature)) = pin.image().and_then(|image| Some((image, signed(image)?)))
        else {
            return Ok(Check::NotNeeded);
        };
        let there = state.is_some_and(|state| state.kind.exists());
        let Some(digest) = image.digest().filter(|_| there) else {
            return Ok(Check::LeftOut);
        };
        // Our semaphores are never closed.
        let _place = self.gate.acquire().await;
        let task = self
            .progress
            .task(format!("signature of {}", image.unpinned()));
        let state = self.ask(image, digest, &signature.value.signer).await?;
        task.done(state.kind.word());
        Ok(Check::Done(state))
    }

    async fn ask(&self, image: &ImageRef, digest: Digest, signer: &Signer) -> Result<PinState> {
        let host = image.registry();
        let base = self.endpoints.base(host);
        let base = base.map_err(|error| error.at(image))?;
        // Without an override, cosign knows the host of Docker Hub itself.
        let at = match self.endpoints.moves(host) {
            true => authority(&base),
            false => host.to_owned(),
        };
        let login = match self.logins.docker_config(host, &at).await {
            Ok(login) => login,
            Err(error) => return Ok(PinState::failed(&error)),
        };
        let scratch = self.scratch(&login, at != host);
        let scratch = scratch.map_err(|error| {
            Error::machine("cannot create a scratch directory").because(error.to_string())
        })?;
        let mut run = Run::new(COSIGN)
            .arg("verify")
            .env(DIRECTORY, scratch.path());
        run = run.args(arguments(&self.root, signer)?);
        if base.scheme() == "http" {
            run = run.arg("--allow-http-registry");
        }
        let ca = scratch.path().join(CA);
        if ca.exists() {
            run = run.arg("--registry-cacert").arg(ca);
        }
        let run = run.arg(format!("{at}/{}@{digest}", image.repository()));
        let limit = self.endpoints.retry_policy().left(LIMIT);
        let answer = tokio::task::spawn_blocking(move || run.converse("", limit)).await;
        let answer = answer.map_err(|error| Error::machine("cosign").because(error.to_string()))?;
        Ok(judge(signer, answer))
    }

    /// A directory for one run, with Docker's configuration `login` and, if the registry has `moved`, the extra root
    /// certificate.
    fn scratch(&self, login: &str, moved: bool) -> io::Result<TempDir> {
        let scratch = tempfile::tempdir()?;
        private(&scratch.path().join("config.json"), login.as_bytes())?;
        if let Some(pem) = self.endpoints.extra_ca().filter(|_| moved) {
            private(&scratch.path().join(CA), pem)?;
        }
        Ok(scratch)
    }
}

/// The result for one pin.
enum Check {
    /// No contract names a signer.
    NotNeeded,
    /// It is not pinned, or does not exist.
    LeftOut,
    Done(PinState),
}

/// Creates a file that only we may read.
fn private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

/// The number before the first dot of a version such as `v3.0.2`.
fn major(version: &str) -> Option<u32> {
    let (major, _) = version.strip_prefix('v')?.split_once('.')?;
    major.parse().ok()
}

/// The arguments of `cosign verify` that specify the signer.
fn arguments(root: &Path, signer: &Signer) -> Result<Vec<OsString>> {
    Ok(match signer {
        Signer::Keyless { identity, issuer } => {
            let identity = ["--certificate-identity-regexp", identity];
            let issuer = ["--certificate-oidc-issuer", issuer];
            [identity, issuer]
                .concat()
                .iter()
                .map(OsString::from)
                .collect()
        }
        Signer::Key { path, logged } => {
            let key = tree::inside(root, path)?;
            let unlogged = (!logged).then(|| "--insecure-ignore-tlog=true".into());
            let key = ["--key".into(), key.into_os_string()];
            key.into_iter().chain(unlogged).collect()
        }
    })
}

/// The state of a pin by the `answer` of cosign about a signature by `signer`.
fn judge(signer: &Signer, answer: Result<Answer>) -> PinState {
    let who = match signer {
        Signer::Keyless { identity, .. } => format!("`{identity}`"),
        Signer::Key { path, .. } => format!("the key `{path}`"),
    };
    let answer = match answer {
        Ok(answer) if answer.success => {
            return PinState::because(PinStatus::Ok, format!("signed by {who}"));
        }
        Ok(answer) => answer,
        Err(error) => {
            let causes = error.causes.join(": ");
            return PinState::because(PinStatus::Unreachable, format!("`cosign verify`: {causes}"));
        }
    };
    let said = said(&answer.stderr);
    let refused = answer.code.is_some_and(|code| REFUSED.contains(&code));
    let kind = match () {
        () if !refused && NO_ANSWER.iter().any(|words| said.contains(words)) => {
            PinStatus::Unreachable
        }
        // Unknown errors also count as unsigned, because nothing was proven.
        () => PinStatus::Unsigned,
    };
    PinState::because(
        kind,
        format!("`cosign verify` found no signature by {who}: {said}"),
    )
}

/// The last line of cosign's output, which explains the failure.
fn said(stderr: &str) -> String {
    let line = stderr.trim_end().lines().last().unwrap_or_default();
    let line = line
        .strip_prefix("error during command execution: ")
        .unwrap_or(line);
    match excerpt(line) {
        empty if empty.is_empty() => "no reason given".to_owned(),
        said => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: Option<i32>, stderr: &str) -> Result<Answer> {
        Ok(Answer {
            success: code == Some(0),
            code,
            stdout: String::new(),
            stderr: stderr.to_owned(),
        })
    }

    #[test]
    fn only_success_counts_as_a_signature() {
        let signer = Signer::Key {
            path: "a.pub".to_owned(),
            logged: true,
        };
        let tuf = "error during command execution: getting Rekor public keys: tuf: failed to download 13.root.json";
        for (code, stderr, kind) in [
            (Some(0), "anything", PinStatus::Ok),
            (
                Some(10),
                "error during command execution: no signatures found",
                PinStatus::Unsigned,
            ),
            (
                Some(12),
                "no matching signatures: dial tcp",
                PinStatus::Unsigned,
            ),
            (Some(13), "no certificate", PinStatus::Unsigned),
            (
                Some(1),
                "no matching attestations: ...",
                PinStatus::Unsigned,
            ),
            (Some(1), "", PinStatus::Unsigned),
            (Some(2), "panic", PinStatus::Unsigned),
            (None, "", PinStatus::Unsigned),
            (Some(1), tuf, PinStatus::Unreachable),
            (
                Some(1),
                "Get \"https://a/v2/\": dial tcp: no such host",
                PinStatus::Unreachable,
            ),
        ] {
            assert_eq!(
                judge(&signer, answer(code, stderr)).kind,
                kind,
                "{code:?} {stderr}"
            );
        }
        let late = judge(
            &signer,
            Err(Error::machine("x").because("no response within 60 s")),
        );
        assert_eq!(late.kind, PinStatus::Unreachable);
        assert_eq!(
            late.reason.as_deref(),
            Some("`cosign verify`: no response within 60 s")
        );
    }

    #[test]
    fn an_unreadable_version_counts_as_too_old() {
        for (version, number) in [
            ("v3.0.2", Some(3)),
            ("v2.6.1", Some(2)),
            ("v10.0.0-rc.1", Some(10)),
            ("devel", None),
            ("3", None),
            ("", None),
            ("v.1", None),
        ] {
            assert_eq!(major(version), number, "{version}");
        }
    }
}
