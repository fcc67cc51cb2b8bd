//! The real cosign with keys of its own, and trees whose contract demands a signature by one.

use std::fs;
use std::path::PathBuf;

use polis_base::Digest;
use tempfile::TempDir;
use xtask_testkit::Tree;

use super::test_env::SERVICES;
use super::{command, real_part};

pub(crate) const REPOSITORY: &str = "odralabshq/polis-gate-oss";
/// Where the contract's key stands in the tree.
pub(crate) const KEY: &str = "keys/images.pub";

/// The real cosign, and the keys `right` and `wrong`.
pub(crate) struct Keys {
    cosign: PathBuf,
    dir: TempDir,
}

impl Keys {
    /// Nothing where cosign is not installed.
    pub(crate) fn make() -> Option<Self> {
        let keys = Self {
            cosign: real_part("cosign")?,
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

    /// Signs `digest` of the gate image in the registry `host`, with more `options`.
    pub(crate) fn sign(&self, key: &str, host: &str, digest: Digest, options: &[&str]) {
        let key = self.path(&format!("{key}.key"));
        let reference = format!("{host}/{REPOSITORY}@{digest}");
        let sign = ["sign", "--yes", "--tlog-upload=false", "--key", &key];
        self.cosign(&[&sign, options, &[&reference]].concat());
    }

    /// Makes the contract of the gate image in `tree` demand a signature by the key `right`, and no other any.
    pub(crate) fn demand(&self, tree: &Tree) {
        fs::create_dir(tree.root().join("keys")).unwrap();
        tree.write(KEY, &fs::read_to_string(self.path("right.pub")).unwrap());
        only_gate(tree, &format!("{{key: {KEY}, logged: false}}"));
    }
}

/// Only the gate image needs a signature: the one that `signature` demands.
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
