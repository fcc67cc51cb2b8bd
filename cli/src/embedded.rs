//! What the program carries: the user-data of Phase 1 and the bundle of Phase 2, fixed when it
//! was built, so that a version of the CLI is a version of everything.

use polis_base::Digest;

/// The cloud-init user-data.
pub(crate) const CLOUD_INIT: &str = include_str!("../../cloud-init/cloud-init.yaml");

/// The bundle: a tar of the compose file, the configuration and the scripts.
pub(crate) const BUNDLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bundle.tar"));

/// The version with what kind of build it is: `0.5.0`, `0.5.0-dev`, `0.5.0-rehearsal`.
pub(crate) const LABEL: &str = env!("POLIS_LABEL");

/// The digest of the user-data as it is piped to Multipass.
pub(crate) fn cloud_init_digest() -> Digest {
    Digest::of(CLOUD_INIT.as_bytes())
}

/// The digest of the bundle.
pub(crate) fn bundle_digest() -> Digest {
    Digest::of(BUNDLE)
}
