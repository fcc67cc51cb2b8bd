//! The recipe for a download, followed on a copy of the tree: following all of it succeeds, and forgetting a part
//! causes a finding that names it.

use polis_base::Digest;
use xtask_testkit::{Ran, Tree};

use crate::recipe::block;

const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";

/// A part of the recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Pins,
    Step,
    Docs,
}

fn xtask(tree: &Tree, args: &[&str]) -> Ran {
    tree.run(env!("CARGO_BIN_EXE_xtask"), args)
}

/// Inserts `text` into the cloud-init file before `anchor`, indented like the text of an entry.
fn insert(tree: &Tree, anchor: &str, text: &str) {
    let indented = |line: &str| match line {
        "" => "\n".to_owned(),
        line => format!("      {line}\n"),
    };
    let text: String = text.lines().map(indented).collect();
    tree.replace(CLOUD_INIT, anchor, &format!("{text}\n{anchor}"));
}

/// A copy of the tree with some `parts` of the recipe applied.
fn with(parts: &[Part]) -> Tree {
    let tree = Tree::data();
    if parts.contains(&Part::Pins) {
        let mut pins = block("download, pins");
        for architecture in ["amd64", "arm64"] {
            let sum = Digest::of(architecture.as_bytes()).hex();
            let placeholder = format!("<SHA-256 for {architecture}>");
            assert!(pins.contains(&placeholder), "{pins}");
            pins = pins.replace(&placeholder, &sum);
        }
        insert(&tree, "      # yq (mikefarah)", &pins);
    }
    if parts.contains(&Part::Step) {
        tree.replace(
            CLOUD_INIT,
            " polis-unit hardening ready)",
            " hello polis-unit hardening ready)",
        );
        insert(&tree, "      have_polis_unit() {", &block("download, step"));
    }
    if parts.contains(&Part::Docs) {
        let ran = xtask(&tree, &["docs"]);
        // 1: the table lists the readable pins, and the checks report the others.
        assert!(ran.code <= 1, "{}", ran.seen());
    }
    tree
}

/// The findings of the checks, and `docs` if the generated page is stale.
fn found(tree: &Tree) -> Vec<String> {
    let pins = xtask(
        tree,
        &[
            "verify-pins",
            "--offline",
            "--today",
            "2026-11-01",
            "--format",
            "json",
        ],
    );
    let mut found = pins.findings();
    let docs = xtask(tree, &["docs", "--check"]);
    if docs.code != 0 {
        assert!(
            docs.seen().contains("run `cargo xtask docs`"),
            "{}",
            docs.seen()
        );
        found.push("docs".to_owned());
    }
    found
}

#[test]
fn a_download_needs_every_part_of_the_recipe() {
    use Part::{Docs, Pins, Step};
    assert_eq!(found(&with(&[Pins, Step, Docs])), [""; 0]);
    assert_eq!(found(&with(&[Pins, Step])), ["docs"]);
    for parts in [&[Pins][..], &[Pins, Docs]] {
        let tree = with(parts);
        let ran = xtask(&tree, &["verify-pins", "--offline"]);
        assert_eq!(ran.code, 1, "{}", ran.seen());
        for name in ["HELLO_URL_AMD64", "HELLO_SHA256_ARM64"] {
            let message = format!("the provisioning script does not read `{name}`");
            assert!(ran.stderr.contains(&message), "{}", ran.seen());
        }
    }
    for parts in [&[Step][..], &[Step, Docs]] {
        let tree = with(parts);
        let ran = xtask(&tree, &["verify-pins", "--offline"]);
        assert_eq!(ran.code, 1, "{}", ran.seen());
        for name in ["HELLO_VERSION", "HELLO_URL_ARM64", "HELLO_SHA256_AMD64"] {
            let message = format!("`{name}` is missing");
            assert!(ran.stderr.contains(&message), "{}", ran.seen());
        }
    }
}
