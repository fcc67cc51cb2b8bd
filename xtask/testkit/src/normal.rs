//! Makes a copy of the tree independent of the tree's state.
//!
//! Whether the tree is pinned, half pinned or waived, which version it has, and which actions were updated must not
//! decide whether a test passes. A copy therefore gets fixed pins, waivers, version and changelog, which tests may
//! name.

use std::collections::BTreeMap;
use std::path::Path;

use polis_base::Digest;
use xtask_host::source::Source;
use xtask_pins::edit::{Change, Edit, apply};
use xtask_pins::inventory::{
    Action, Dependency, Download, Field, FileKind, Files, Inventory, Pin, page, update,
};
use xtask_pins::{versions, waivers};

/// The version of a copy.
pub const VERSION: &str = "0.5.0";
/// The tag of the images in it that other projects publish.
const PUBLISHED: &str = "v0.4.0";
/// The last day of its waivers, far away so that tests do not start to fail.
const WAIVED_UNTIL: &str = "2999-12-31";
/// The day after its waivers expire.
pub const AFTER_WAIVERS: &str = "3000-01-01";
/// Its Rust version, if nothing is built in it.
const RUST: &str = "1.95.0";
const FINGERPRINT: &str = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88";
const CHANGELOG: &str = "CHANGELOG.md";
const PUBLIC_KEY: &str = "minisign.pub";

/// The action that tests name. The others get a version and a commit derived from their names.
const CHECKOUT: (&str, &str, &str) = (
    "actions/checkout",
    "v6.0.2",
    "de0fac2e4500dabe0009e67214ff5f5447ce83dd",
);

/// A download: its name, its version, and the checksum of each architecture.
type Known = (
    &'static str,
    &'static str,
    [(&'static str, &'static str); 2],
);

/// The downloads that tests name.
const DOWNLOADS: [Known; 2] = [
    (
        "sysbox",
        "0.7.1",
        [
            (
                "amd64",
                "9d6d5484f980d0a17f86c492c1262015c2afb66280bdb97215b79fde6a0261c5",
            ),
            (
                "arm64",
                "04ca894ae0b53f0fa54eaacc173ce40363c9a95ea5450f773716a84ef650a69b",
            ),
        ],
    ),
    (
        "yq",
        "v4.44.6",
        [
            (
                "amd64",
                "0c2b24e645b57d8e7c0566d18643a6d4f5580feeea3878127354a46f2a1e4598",
            ),
            (
                "arm64",
                "9477ac3cc447b6c083986129e35af8122eb2b938fe55c9c3e40436fb966e5813",
            ),
        ],
    ),
];

/// Changes to the files of a copy: the new text by path, or `None` for a file to leave out.
pub(crate) type Overlay = BTreeMap<String, Option<String>>;

/// The changes that normalize the tree at `root`. If the copy is `built`, its Rust version stays.
///
/// # Panics
/// If the pins of the tree cannot be read, because its state is then unknown.
pub(crate) fn overlay(root: &Path, built: bool) -> Overlay {
    let files = Files::read(root).expect("the files with pins");
    let inventory = Inventory::extract(&files);
    inventory.require_readable().expect("pins");
    let mut edits = edits_of_pins(&inventory, built);
    let optional = |path: &str| Source::read(root, path).ok();
    let lock = optional(versions::LOCK);
    let mut manifests = files.of(FileKind::Manifest);
    let manifest = manifests.find(|source| source.path == "Cargo.toml");
    let manifest = manifest.expect("the manifest of the workspace");
    let version = VERSION.parse().expect("a version");
    let crates = files.of(FileKind::Manifest);
    edits.extend(versions::set(&version, manifest, lock.as_ref(), crates).expect("versions"));
    let changes = apply(files.all().chain(&lock), &edits).expect("edits");

    let mut normal = files.changed(&changes);
    normal.waivers.text = waivers_for(&normal);
    let mut overlay = Overlay::new();
    if let Some(page) = optional(page::PATH) {
        let changes = page::refresh(&page, &normal).expect("the page of pins");
        overlay.extend(changes.into_iter().map(into_entry));
    }
    overlay.extend(changes.into_iter().map(into_entry));
    overlay.insert(waivers::PATH.to_owned(), Some(normal.waivers.text));
    let changelog = format!("# Changelog\n\n## {VERSION}\n\n- What the tests release.\n");
    overlay.insert(CHANGELOG.to_owned(), Some(changelog));
    overlay.insert(PUBLIC_KEY.to_owned(), None);
    overlay
}

fn into_entry(change: Change) -> (String, Option<String>) {
    (change.path, Some(change.after))
}

/// The waivers of all images of `files`, none of which is pinned.
pub(crate) fn waivers_for(files: &Files) -> String {
    let inventory = Inventory::extract(files);
    let images = inventory.images().filter(|pin| pin.pinned().is_none());
    let waivers = images.map(|image| {
        format!(
            "  - image: {}\n    reason: not looked up in tests\n    expires: \"{WAIVED_UNTIL}\"\n",
            image.name()
        )
    });
    match waivers.collect::<String>() {
        none if none.is_empty() => "version: 1\nwaivers: []\n".to_owned(),
        waivers => format!("version: 1\nwaivers:\n{waivers}"),
    }
}

fn edits_of_pins(inventory: &Inventory, built: bool) -> Vec<Edit> {
    let ours: Vec<String> = inventory
        .pins
        .iter()
        .filter(|pin| pin.built)
        .filter_map(|pin| Some(pin.image()?.name()))
        .collect();
    let mut edits = Vec::new();
    for pin in &inventory.pins {
        match &pin.dependency {
            Dependency::Image(image) => {
                let tag = match ours.contains(&image.name()) {
                    true => format!("v{VERSION}"),
                    false => PUBLISHED.to_owned(),
                };
                let normal = image.unpinned().with_tag(&tag).expect("a tag");
                edits.extend(update::image(pin, &normal));
            }
            Dependency::Download(download) => edits.extend(edits_of_download(pin, download)),
            Dependency::Action(action) => edits.extend(edits_of_action(pin, action)),
            Dependency::Key(_) => edits.extend(edits_of(pin, Field::Fingerprint, FINGERPRINT)),
            Dependency::Toolchain(_) if !built => edits.extend(edits_of(pin, Field::Channel, RUST)),
            Dependency::Toolchain(_) | Dependency::Base(_) => {}
        }
    }
    edits
}

fn edits_of_download(pin: &Pin, download: &Download) -> Vec<Edit> {
    let known = DOWNLOADS.iter().find(|(tool, ..)| *tool == download.tool);
    let Some((_, version, checksums)) = known else {
        return Vec::new();
    };
    let architecture = download.architecture.as_deref();
    let checksum = checksums
        .iter()
        .find(|(name, _)| Some(*name) == architecture);
    let (_, hex) = checksum.expect("a known architecture");
    let sha256 = format!("sha256:{hex}").parse().expect("a digest");
    update::download(pin, download, version, sha256)
}

fn edits_of_action(pin: &Pin, action: &Action) -> Vec<Edit> {
    let (tag, commit) = match action.repository == CHECKOUT.0 {
        true => (CHECKOUT.1, CHECKOUT.2.to_owned()),
        false => {
            let digest = Digest::of(action.repository.as_bytes()).hex();
            ("v1.0.0", digest[..40].to_owned())
        }
    };
    let commit = commit.parse().expect("a commit");
    update::action(pin, action, tag, &commit).expect("an action with its tag")
}

fn edits_of(pin: &Pin, field: Field, text: &str) -> Vec<Edit> {
    let occurrences = pin.occurrences.iter().filter(|found| found.field == field);
    occurrences
        .map(|found| Edit::new(&found.at, text))
        .collect()
}
