//! The path of a newcomer through CONTRIBUTING.md, in a fresh clone: set up, break a pin, see the finding, fix it, and
//! follow the recipes. Commands and edits are read from the page.
//!
//! `cargo xtask` is the programs that were built for these tests. Of `ci --quick`, the fast steps run for real; `ci`
//! itself runs the others.

#![cfg(unix)]

mod download;
mod recipe;
mod verb;

use std::path::{Path, PathBuf};

use xtask_testkit::{Ran, Tree, has_part};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// A clone of the tree in a known state, in the directory `polis`.
fn clone() -> Option<Tree> {
    if !["bash", "git"].into_iter().all(has_part) {
        return None;
    }
    let origin = Tree::whole();
    for args in [
        "init --quiet",
        "add --all",
        "-c user.name=A -c user.email=a@b.example commit --quiet --message A",
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        succeeds(&origin.run("git", &args));
    }
    let tree = Tree::empty();
    let mut commands = recipe::commands("Set up").into_iter();
    let command = commands.find(|command| command.starts_with("git clone "));
    let url = command.expect("a clone").trim_start_matches("git clone ");
    let name = url.rsplit('/').next().expect("the name of the repository");
    assert_eq!(name, "polis");
    let origin = origin.root().to_str().expect("a path in UTF-8");
    succeeds(&tree.run("git", &["clone", "--quiet", origin, name]));
    Some(tree)
}

fn succeeds(ran: &Ran) {
    assert_eq!(ran.code, 0, "{}", ran.seen());
}

/// The program of another package, where the whole workspace was built: beside `xtask`.
fn beside(package: &str) -> Option<PathBuf> {
    let program = Path::new(XTASK).with_file_name(package);
    program.exists().then_some(program)
}

/// Runs a line of the page in the clone. `cargo xtask` is the built program.
fn shell(tree: &Tree, line: &str) -> Ran {
    shell_with(Path::new(XTASK), tree, line)
}

/// The same with another program for `cargo xtask`.
fn shell_with(xtask: &Path, tree: &Tree, line: &str) -> Ran {
    let dir = tree.root().join("polis");
    let script = format!(
        "cd '{}'; xtask() {{ '{}' --root . \"$@\"; }}; {}",
        dir.display(),
        xtask.display(),
        line.replace("cargo xtask", "xtask")
    );
    tree.run("bash", &["-c", &script])
}

#[test]
fn the_set_up_of_a_fresh_clone() {
    let Some(tree) = clone() else { return };
    let Some(dev) = beside("xtask-dev") else {
        return;
    };
    let hook = tree.root().join("polis/.git/hooks/pre-commit");
    let mut ran = Vec::new();
    for command in recipe::commands("Set up") {
        match command {
            "cargo xtask setup" => {
                let plan = shell_with(&dev, &tree, command);
                succeeds(&plan);
                assert!(plan.stdout.contains("/hooks/pre-commit"), "{}", plan.seen());
                assert!(!hook.exists(), "the plan changes nothing");
            }
            "cargo xtask ci --list" => succeeds(&shell_with(&dev, &tree, command)),
            "cargo xtask ci --quick" => quick(&dev, &tree, command),
            _ => continue,
        }
        ran.push(command);
    }
    assert_eq!(ran.len(), 3, "{ran:?}");
}

/// The steps of `ci --quick` that need no compilation.
fn quick(dev: &Path, tree: &Tree, command: &str) {
    let listed = shell_with(dev, tree, &format!("{command} --list --format json"));
    succeeds(&listed);
    let report = listed.report();
    let steps = report["data"]["steps"].as_array().expect("steps");
    let command = |name: &str| {
        let step = steps.iter().find(|step| step["name"] == name);
        step.and_then(|step| step["command"].as_str()).expect(name)
    };
    assert!(steps.len() >= 4, "{steps:?}");
    succeeds(&shell(tree, command("pins")));
    if let Some(check) = beside("xtask-check") {
        let line = format!("{} --no-shell", command("check"));
        succeeds(&shell_with(&check, tree, &line));
    }
}

#[test]
fn a_broken_pin_is_found_and_fixed() {
    let Some(tree) = clone() else { return };
    let mut failed = Vec::new();
    for line in recipe::block("pin, break").lines() {
        let ran = shell(&tree, line);
        if line.contains("# fails") {
            assert_eq!(ran.code, 1, "{line}: {}", ran.seen());
            failed.push(ran.stderr);
        } else {
            assert_eq!(ran.code, 0, "{line}: {}", ran.seen());
        }
    }
    assert_eq!(failed.len(), 1);
    let found = &failed[0];
    assert!(found.contains("cloud-init/cloud-init.yaml:"), "{found}");
    assert!(found.contains("YQ_SHA256_AMD64"), "{found}");
}
