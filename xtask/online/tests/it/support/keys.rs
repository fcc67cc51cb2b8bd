//! The real cosign with its own keys, and trees whose contract requires a signature by one.

use std::fs;
use std::path::PathBuf;

use polis_base::Digest;
use tempfile::TempDir;
use xtask_testkit::Tree;

use super::test_env::SERVICES;
use super::{command, external_tool};

pub(crate) const REPOSITORY: &str = "odralabshq/polis-gate-oss";
/// The path of the contract's key in the tree.
pub(crate) const KEY: &str = "keys/images.pub";

/// The real cosign, and the keys `right` and `wrong`.
pub(crate) struct Keys {
    cosign: PathBuf,
    dir: TempDir,
}

impl Keys {
    /// `None` if cosign is not installed.
    pub(crate) fn make() -> Option<Self> {
        let keys = Self {
            cosign: external_tool("cosign")?,
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["right", "wrong"] {
            keys.cosign(&["generate-key-pair", "--output-key-prefix", &keys.path(name)]);
        }
        Some(keys)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn cosign(&self, args: &[&str]) {
        let mut command = command(&self.cosign);
        command.args(args).env("COSIGN_PASSWORD", "");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
    }

    /// Signs `digest` of the gate image in the registry `host`, with additional `options`.
    pub(crate) fn sign(&self, key: &str, host: &str, digest: Digest, options: &[&str]) {
        let key = self.path(&format!("{key}.key"));
        let reference = format!("{host}/{REPOSITORY}@{digest}");
        let sign = ["sign", "--yes", "--tlog-upload=false", "--key", &key];
        self.cosign(&[&sign, options, &[&reference]].concat());
    }

    /// Changes `tree` so that only the contract of the gate image requires a signature, by the key `right`.
    pub(crate) fn demand(&self, tree: &Tree) {
        fs::create_dir(tree.root().join("keys")).unwrap();
        tree.write(KEY, &fs::read_to_string(self.path("right.pub")).unwrap());
        only_gate(tree, &format!("{{key: {KEY}, logged: false}}"));
    }
}

/// Requires `signature` for the gate image, and none for others.
pub(crate) fn only_gate(tree: &Tree, signature: &str) {
    for service in SERVICES {
        let path = format!("compose/images/{service}.yaml");
        let text = tree.read(&path);
        let start = text.find("signature:\n").expect("a signature");
        let end = start + text[start..].find("\n\n").expect("another section") + 1;
        let section = match service {
            "gate" => format!("signature:\n  release: {signature}\n"),
            _ => String::new(),
        };
        tree.write(&path, &[&text[..start], &section, &text[end..]].concat());
    }
}
