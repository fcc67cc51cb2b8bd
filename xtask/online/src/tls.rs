//! One TLS stack with one crypto backend for all clients: rustls with ring.
//!
//! The libraries below can be built with several backends and then choose one at run time. Setting the process-wide
//! provider leaves them no choice.

use std::env;
use std::fs;
use std::sync::Once;

use reqwest::Certificate;

use crate::endpoint::Endpoints;
use crate::error::{NetError, chain};

/// The environment variable with the path of a PEM file of extra root certificates, for a registry or mirror behind a
/// private CA.
pub const EXTRA_CA: &str = "POLIS_EXTRA_CA";

/// Makes ring the crypto provider of the process; later calls do nothing.
pub(crate) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only if the program has already installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The extra root certificates of `endpoints`.
///
/// # Errors
/// If the PEM text contains no certificate, because silently ignoring it would be hard to diagnose.
pub(crate) fn extra_roots(endpoints: &Endpoints) -> Result<Vec<Certificate>, NetError> {
    let Some(pem) = endpoints.extra_ca() else {
        return Ok(Vec::new());
    };
    let roots = Certificate::from_pem_bundle(pem)
        .map_err(|error| NetError::protocol(EXTRA_CA, chain(&error)))?;
    if roots.is_empty() {
        return Err(NetError::protocol(EXTRA_CA, "contains no PEM certificate"));
    }
    Ok(roots)
}

impl Endpoints {
    /// Trusts the certificates in the file that `POLIS_EXTRA_CA` names, if it is set.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn with_extra_ca_from_env(self) -> Result<Self, NetError> {
        let Some(path) = env::var_os(EXTRA_CA).filter(|path| !path.is_empty()) else {
            return Ok(self);
        };
        let pem =
            fs::read(&path).map_err(|error| NetError::local(EXTRA_CA, path.as_ref(), &error))?;
        Ok(self.with_extra_ca(pem))
    }
}
