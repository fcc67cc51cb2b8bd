//! The complete rehearsal: in two directories, with two cargo homes, and of a tree that is waived, half pinned or
//! ready.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

use std::path::Path;

use polis_base::Digest;
use serde_json::Value;
use xtask_pins::edit::apply;
use xtask_pins::inventory::{Files, Inventory, update};
use xtask_testkit::{Tree, cargo_home, has_part};

const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask-online");

fn rehearse(tree: &Tree, env: &[(&str, &str)]) -> Value {
    let before = tree.read("compose/docker-compose.yml");
    let ran = tree.run_with(PROGRAM, &["release", "--rehearse", "--format", "json"], env);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(
        tree.read("compose/docker-compose.yml"),
        before,
        "the tree itself is not touched"
    );
    ran.report()["data"].clone()
}

/// The assets that must always be the same: all except those that contain the key or the commit, which are made for one
/// rehearsal, and their checksums.
fn reproducible(data: &Value) -> Vec<String> {
    const OF_ONE: [&str; 6] = [
        "SHA256SUMS",
        "SHA256SUMS.minisig",
        "install.ps1",
        "install.sh",
        "minisign.pub",
        "release-manifest.json",
    ];
    let assets = data["assets"].as_array().unwrap();
    let same = assets
        .iter()
        .filter(|asset| !OF_ONE.contains(&asset["name"].as_str().unwrap()));
    same.map(|asset| format!("{} {}", asset["sha256"], asset["name"]))
        .collect()
}

/// Pins all images of `tree`, or every other one, to digests that no registry serves.
fn pin(tree: &Tree, all: bool) {
    let inventory = Inventory::read(tree.root()).unwrap();
    let files = Files::read(tree.root()).unwrap();
    let images = inventory.images().enumerate();
    let edits = images
        .filter(|(at, _)| all || at % 2 == 0)
        .flat_map(|(_, pin)| {
            let image = pin.image().unwrap().unpinned();
            let digest = Digest::of(image.to_string().as_bytes());
            update::image(pin, &image.pinned(digest))
        });
    let edits: Vec<_> = edits.collect();
    for change in apply(files.all(), &edits).unwrap() {
        tree.write(&change.path, &change.after);
    }
}

#[test]
fn a_rehearsal_releases_the_same_bytes_from_anywhere_in_every_state_of_the_tree() {
    let (one, other) = (Tree::quick_to_build(), Tree::quick_to_build());
    let first = rehearse(&one, &[]);
    let home = other.root().join("another-cargo-home");
    std::fs::create_dir(&home).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(cargo_home().join("registry"), home.join("registry")).unwrap();
    let second = rehearse(&other, &[("CARGO_HOME", home.to_str().unwrap())]);
    assert_eq!(first["images"], second["images"]);
    assert_eq!(reproducible(&first), reproducible(&second));
    assert!(reproducible(&first).len() > 5, "{first:#}");
    let dist = one.root().join("dist");
    no_name_can_be_mistaken_for_a_release(&one, &dist);
    users_can_verify(&one, &dist);

    // The bytes are the same, whatever is pinned, waived or released in the tree.
    pin(&one, false);
    assert_eq!(
        reproducible(&rehearse(&one, &[])),
        reproducible(&first),
        "half pinned"
    );
    pin(&one, true);
    one.write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
    one.write("minisign.pub", "untrusted comment: somebody's\nRWQ=\n");
    let changelog = one.read("CHANGELOG.md").replace(" (unreleased)", "");
    one.write("CHANGELOG.md", &changelog);
    assert_eq!(
        reproducible(&rehearse(&one, &[])),
        reproducible(&first),
        "ready"
    );
}

fn no_name_can_be_mistaken_for_a_release(tree: &Tree, dist: &Path) {
    let unpacked = tempfile::tempdir().unwrap();
    let compose = std::fs::read_to_string(dist.join("docker-compose.yml")).unwrap();
    let images: Vec<&str> = compose
        .lines()
        .filter(|line| line.trim_start().starts_with("image:"))
        .collect();
    assert!(!images.is_empty());
    assert!(
        images
            .iter()
            .all(|image| image.contains("rehearsal.invalid/") && image.contains("@sha256:")),
        "{images:#?}"
    );
    let archive = std::fs::read_dir(dist)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ext| ext == "gz"))
        .unwrap();
    assert!(archive.to_string_lossy().contains("-rehearsal-"));
    let at = unpacked.path().to_str().unwrap();
    run(tree, "tar", &["-xzf", archive.to_str().unwrap(), "-C", at]);
    let dir = archive
        .file_name()
        .unwrap()
        .to_string_lossy()
        .replace(".tar.gz", "");
    let program = unpacked.path().join(dir).join("polis");
    let version = run(tree, program.to_str().unwrap(), &["version"]);
    assert!(version.starts_with("polis 0.5.0-rehearsal\n"), "{version}");
}

fn users_can_verify(tree: &Tree, dist: &Path) {
    let check = format!(
        "cd '{}' && sha256sum -c --strict SHA256SUMS",
        dist.display()
    );
    run(tree, "sh", &["-c", &check]);
    if !has_part("minisign") {
        return;
    }
    let path = |name: &str| dist.join(name).display().to_string();
    let (sums, key) = (path("SHA256SUMS"), path("minisign.pub"));
    let verify = ["-V", "-p", &key, "-m", &sums];
    let said = run(tree, "minisign", &verify);
    assert!(said.contains("REHEARSAL, not a release"), "{said}");
    let changed = std::fs::read_to_string(&sums).unwrap().replace('a', "b");
    std::fs::write(&sums, changed).unwrap();
    let refused = tree.run("minisign", &verify);
    assert_ne!(
        refused.code, 0,
        "a changed list of checksums must not verify"
    );
}

/// The output of a program that must succeed.
fn run(tree: &Tree, program: &str, args: &[&str]) -> String {
    let ran = tree.run(program, args);
    assert_eq!(ran.code, 0, "{program} {args:?}: {}", ran.seen());
    ran.stdout
}
