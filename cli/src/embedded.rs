//! The files built into the program: the user-data of Phase 1 and the bundle of Phase 2, so that a version of the CLI is a
//! version of everything.

use std::hint::black_box;

use polis_base::Digest;
use polis_base::facts::{Facts, FactsError};

use crate::multipass::call::Payload;

/// The cloud-init user-data.
const CLOUD_INIT: &str = include_str!("../../cloud-init/cloud-init.yaml");

/// The bundle: a tar of the compose file, the configuration and the scripts.
const BUNDLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bundle.tar"));

/// The version and the kind of build: `0.5.0`, `0.5.0-dev`, `0.5.0-rehearsal`.
pub(crate) const LABEL: &str = env!("POLIS_LABEL");

/// The architectures that every image of the stack is published for, in Debian's terms, separated by blanks.
pub(crate) const ARCHITECTURES: &str = env!("POLIS_ARCHITECTURES");

/// The page that explains how to install a release.
pub(crate) const INSTALL: &str =
    concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/install.md");

/// The target of the releases that replace this program.
pub(crate) const TARGET: &str = env!("POLIS_RELEASE_TARGET");

/// The files that the user-data writes, sorted, in the format of `sha256sum`. Multipass changes the text of the user-data,
/// but not these.
const WRITTEN: &str = include_str!(concat!(env!("OUT_DIR"), "/written"));

/// The facts between their marks, as a release finds them in this program's bytes.
#[used]
static MARKED: [u8; include_bytes!(concat!(env!("OUT_DIR"), "/facts")).len()] =
    *include_bytes!(concat!(env!("OUT_DIR"), "/facts"));

/// The facts about this program and its embedded files.
///
/// They are read from the bytes that a release inspects, so that the two cannot differ. This also keeps the linker from
/// removing the static, which `#[used]` alone does not.
pub(crate) fn facts() -> Result<Facts, FactsError> {
    let text = str::from_utf8(black_box(&MARKED)).unwrap_or_default();
    let json = text.find('{').zip(text.rfind('}'));
    Facts::from_json(json.map_or("", |(start, end)| &text[start..=end]))
}

pub(crate) fn user_data() -> Payload {
    Payload::new("cloud-init.yaml", CLOUD_INIT.as_bytes())
}

pub(crate) fn bundle() -> Payload {
    Payload::new("bundle.tar", BUNDLE)
}

/// The marker of a VM that was provisioned with the embedded user-data.
pub(crate) fn marker() -> Digest {
    Digest::of(WRITTEN.as_bytes())
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
    fn the_bundle_has_exactly_what_the_vm_needs() {
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
    fn the_facts_match_the_embedded_files() {
        let compose = &files()["docker-compose.yml"].1;
        let expected = Facts {
            label: LABEL.to_owned(),
            compose: Digest::of(compose),
            cloud_init: Digest::of(&user_data().bytes),
            bundle: Digest::of(&bundle().bytes),
            key: facts().unwrap().key,
        };
        assert_eq!(facts(), Ok(expected.clone()));
        assert_eq!(Facts::find(&MARKED), Ok(expected));
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
    fn the_user_data_is_cloud_config_and_its_files_are_known() {
        assert!(CLOUD_INIT.starts_with("#cloud-config\n"));
        let paths: Vec<&str> = WRITTEN
            .lines()
            .filter_map(|line| line.split("  ").nth(1))
            .collect();
        assert!(
            paths.contains(&"/usr/local/lib/polis/provision.sh"),
            "{paths:?}"
        );
        let mut sorted: Vec<&str> = WRITTEN.lines().collect();
        sorted.sort_unstable();
        assert_eq!(WRITTEN, sorted.join("\n") + "\n");
        // The list in provision.sh, of the files whose digests the marker holds.
        let list = CLOUD_INIT.split("readonly WRITTEN_FILES=(").nth(1).unwrap();
        let list = list.split("\n      )").next().unwrap();
        assert_eq!(list.split_whitespace().count(), paths.len(), "{list}");
    }

    #[test]
    fn one_time_services_are_named_init() {
        let files = files();
        let compose = String::from_utf8(files["docker-compose.yml"].1.clone()).unwrap();
        let services = compose.split("\nservices:\n").nth(1).unwrap();
        let services = services.split("\nnetworks:\n").next().unwrap();
        let mut name = "";
        let mut inits = 0;
        for line in services.lines() {
            if let Some(key) = line
                .strip_prefix("  ")
                .filter(|key| !key.starts_with([' ', '#']))
            {
                name = key.trim_end_matches(':');
            }
            if line.trim() == "<<: *init" {
                assert!(name.ends_with("-init"), "{name}");
                inits += 1;
            }
            if line.trim() == "<<: *service" {
                assert!(!name.ends_with("-init"), "{name}");
            }
        }
        assert_eq!(inits, 3);
    }
}
