//! One TLS stack with one crypto backend for every client: rustls with ring.
//!
//! The libraries beneath can be built for several backends and then pick one at run time; naming
//! the provider of the process once leaves them nothing to pick.

use std::env;
use std::fs;
use std::sync::Once;

use reqwest::Certificate;

use crate::endpoint::Endpoints;
use crate::error::{NetError, chain};

/// The environment variable that names a PEM file of extra root certificates, for a registry or
/// mirror behind a private CA.
pub const EXTRA_CA: &str = "POLIS_EXTRA_CA";

/// Makes ring the crypto provider of the process; later calls do nothing.
pub(crate) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error only says that the program has installed one before us.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The extra root certificates of `endpoints`.
///
/// # Errors
/// When there is none in what was given: a root that is silently left out would be looked for
/// in vain.
pub(crate) fn extra_roots(endpoints: &Endpoints) -> Result<Vec<Certificate>, NetError> {
    let Some(pem) = endpoints.extra_ca() else {
        return Ok(Vec::new());
    };
    let roots = Certificate::from_pem_bundle(pem)
        .map_err(|error| NetError::protocol(EXTRA_CA, chain(&error)))?;
    if roots.is_empty() {
        return Err(NetError::protocol(EXTRA_CA, "holds no certificate in PEM"));
    }
    Ok(roots)
}

impl Endpoints {
    /// These endpoints, trusting the certificates in the file that `POLIS_EXTRA_CA` names, if it
    /// is set.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn with_extra_ca_from_env(self) -> Result<Self, NetError> {
        let Some(path) = env::var_os(EXTRA_CA).filter(|path| !path.is_empty()) else {
            return Ok(self);
        };
        let pem =
            fs::read(&path).map_err(|error| NetError::local(EXTRA_CA, path.as_ref(), &error))?;
        Ok(self.with_extra_ca(pem))
    }
}
