//! The recipe for a verb: after following it, the tree compiles.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use xtask_testkit::Tree;

use crate::recipe::block;
use crate::succeeds;

/// Applies the recipe: `--- FILE`, then lines to find, and lines with `+` to insert after them.
fn apply(tree: &Tree, lines: &str) {
    let mut file = "";
    let mut after = String::new();
    for line in lines.lines() {
        if let Some(path) = line.strip_prefix("--- ") {
            file = path;
        } else if let Some(added) = line.strip_prefix('+') {
            tree.replace(file, &after, &format!("{after}{added}\n"));
            after = format!("{after}{added}\n");
        } else {
            after = format!("{}\n", line.strip_prefix(' ').expect("a line to find"));
        }
    }
}

#[test]
fn a_verb_compiles_after_its_recipe() {
    let tree = Tree::whole();
    tree.write("xtask/src/verbs/hello.rs", &block("verb, file"));
    apply(&tree, &block("verb, lines"));
    // The build directory of these tests already contains the dependencies.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = dir.with_file_name("");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let args = [
        "check",
        "--workspace",
        "--bin",
        "xtask",
        "--offline",
        "--quiet",
    ];
    let wrapper = wrapper(dir);
    let env = [
        (
            "CARGO_TARGET_DIR",
            target.to_str().expect("a path in UTF-8"),
        ),
        (
            "RUSTC_WORKSPACE_WRAPPER",
            wrapper.to_str().expect("a path in UTF-8"),
        ),
    ];
    succeeds(&tree.run_with(cargo, &args, &env));
}

/// A wrapper that runs rustc. Cargo stores what a workspace wrapper compiles separately, so the crates of the copy are
/// never taken for those of this tree.
fn wrapper(dir: &Path) -> PathBuf {
    let path = dir.join("recipe-rustc");
    fs::write(&path, "#!/bin/sh\nexec \"$@\"\n").expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}
