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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    /// The files of the bundle with mode and content.
    fn files() -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(BUNDLE);
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|mut entry| {
                let path = entry.path().unwrap().display().to_string();
                let mode = entry.header().mode().unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (path, (mode, bytes))
            })
            .collect()
    }

    #[test]
    fn the_bundle_is_what_the_vm_needs_and_nothing_else() {
        let files = files();
        assert!(files.contains_key("docker-compose.yml"));
        for (path, (mode, bytes)) in &files {
            let top = path.split('/').next().unwrap_or_default();
            assert!(
                matches!(top, "docker-compose.yml" | "config" | "scripts"),
                "{path}"
            );
            let runs = path.ends_with('/') || bytes.starts_with(b"#!");
            assert_eq!(*mode, if runs { 0o755 } else { 0o644 }, "{path}");
            assert!(!bytes.contains(&b'\r'), "{path}");
        }
    }

    #[test]
    fn every_file_that_the_stack_mounts_is_in_the_bundle() {
        let files = files();
        let compose = String::from_utf8(files["docker-compose.yml"].1.clone()).unwrap();
        let mounts = compose
            .split("- ./config/")
            .skip(1)
            .filter_map(|rest| rest.split(':').next());
        let mounts: Vec<&str> = mounts.collect();
        assert!(mounts.len() > 10, "{mounts:?}");
        for mount in mounts {
            assert!(files.contains_key(&format!("config/{mount}")), "{mount}");
        }
    }

    #[test]
    fn the_user_data_is_cloud_config() {
        assert!(CLOUD_INIT.starts_with("#cloud-config\n"));
    }
}
