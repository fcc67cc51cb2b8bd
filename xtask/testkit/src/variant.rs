//! The states that a tree can be in, each made in a copy, to prove that no test depends on them.

use polis_base::{Digest, ImageRef};
use xtask_host::source::Source;
use xtask_pins::edit::{Change, Edit, apply};
use xtask_pins::inventory::{Dependency, Field, FileKind, Files, Inventory, page, update};
use xtask_pins::{versions, waivers};

use crate::normal::{VERSION, waivers_for};
use crate::tree::Tree;

/// A state of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Ready for a release: everything is pinned and nothing waived, the public key exists, and the commit has a tag.
    Ready,
    /// One image is pinned and no longer waived.
    OnePinned,
    /// Every other image is pinned and no longer waived.
    HalfPinned,
    /// Actions, downloads and the key have changed.
    Moved,
    /// The next version.
    NextVersion,
}

impl Variant {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Ready,
        Self::OnePinned,
        Self::HalfPinned,
        Self::Moved,
        Self::NextVersion,
    ];

    /// Makes a whole tree in this state.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn make(self) -> Tree {
        let tree = Tree::whole();
        let files = Files::read(tree.root()).expect("files");
        let inventory = Inventory::extract(&files);
        let lock = Source::read(tree.root(), versions::LOCK).expect("the lock file");
        let edits = match self {
            Self::Ready => pinned(&inventory, |_| true),
            Self::OnePinned => pinned(&inventory, |at| at == 2),
            Self::HalfPinned => pinned(&inventory, |at| at % 2 == 0),
            Self::Moved => moved(&inventory),
            Self::NextVersion => next_version(&files, &inventory, &lock),
        };
        let changes = apply(files.all().chain([&lock]), &edits).expect("edits");
        write(&tree, &files, &changes);
        match self {
            Self::Ready => ready(&tree),
            Self::NextVersion => tree.replace("CHANGELOG.md", VERSION, NEXT),
            _ => {}
        }
        tree
    }
}

/// The version after that of a copy.
const NEXT: &str = "0.6.0";

/// A well-formed digest that is served nowhere.
fn digest_for(image: &ImageRef) -> Digest {
    Digest::of(image.unpinned().to_string().as_bytes())
}

fn pinned(inventory: &Inventory, wanted: impl Fn(usize) -> bool) -> Vec<Edit> {
    let images = inventory.images().enumerate();
    let wanted = images.filter(|(at, _)| wanted(*at));
    let edits = wanted.flat_map(|(_, pin)| {
        let image = pin.image().expect("an image");
        update::image(pin, &image.pinned(digest_for(image)))
    });
    edits.collect()
}

fn moved(inventory: &Inventory) -> Vec<Edit> {
    let mut edits = Vec::new();
    for pin in &inventory.pins {
        match &pin.dependency {
            Dependency::Action(action) => {
                let digest = Digest::of(pin.name().as_bytes()).hex();
                let commit = digest[..40].parse().expect("a commit");
                let moved = update::action(pin, action, "v98.7.6", &commit);
                edits.extend(moved.expect("an action with its tag"));
            }
            Dependency::Download(download) => {
                let v = download.version.as_deref().unwrap_or_default();
                let v = if v.starts_with('v') { "v" } else { "" };
                let sha256 = Digest::of(pin.name().as_bytes());
                edits.extend(update::download(
                    pin,
                    download,
                    &format!("{v}98.7.6"),
                    sha256,
                ));
            }
            Dependency::Key(_) => {
                let occurrences = pin.occurrences.iter();
                let occurrences = occurrences.filter(|found| found.field == Field::Fingerprint);
                edits.extend(occurrences.map(|found| Edit::new(&found.at, "A1".repeat(20))));
            }
            Dependency::Image(_) | Dependency::Base(_) | Dependency::Toolchain(_) => {}
        }
    }
    edits
}

fn next_version(files: &Files, inventory: &Inventory, lock: &Source) -> Vec<Edit> {
    let mut manifests = files.of(FileKind::Manifest);
    let manifest = manifests.find(|source| source.path == "Cargo.toml");
    let manifest = manifest.expect("the manifest of the workspace");
    let version = NEXT.parse().expect("a version");
    let crates = files.of(FileKind::Manifest);
    let mut edits = versions::set(&version, manifest, Some(lock), crates).expect("versions");
    for pin in inventory.pins.iter().filter(|pin| pin.built) {
        let image = pin.image().expect("an image");
        let image = image.with_tag(&format!("v{NEXT}")).expect("a tag");
        edits.extend(update::image(pin, &image));
    }
    edits
}

/// Writes `changes` and their consequences: the waivers of images that are still unpinned, and the page of pins.
fn write(tree: &Tree, files: &Files, changes: &[Change]) {
    let mut after = files.changed(changes);
    after.waivers.text = waivers_for(&after);
    for change in changes {
        tree.write(&change.path, &change.after);
    }
    tree.write(waivers::PATH, &after.waivers.text);
    let page = Source::read(tree.root(), page::PATH).expect("the page of pins");
    for change in page::refresh(&page, &after).expect("the page of pins") {
        tree.write(&change.path, &change.after);
    }
}

/// Adds what a release needs besides pins.
fn ready(tree: &Tree) {
    // Well formed, but nothing is ever signed with it.
    let key = "untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
    tree.write("minisign.pub", key);
    let commit =
        "git init --quiet && git add --all && git commit --quiet --message ready && git tag v";
    let names = ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"];
    let mails = ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"];
    let names = names.map(|name| (name, "Polis tests"));
    let mails = mails.map(|name| (name, "tests@polis.invalid"));
    let env = [names, mails].concat();
    let ran = tree.run_with("sh", &["-c", &format!("{commit}{VERSION}")], &env);
    assert_eq!(ran.code, 0, "{}", ran.seen());
}
