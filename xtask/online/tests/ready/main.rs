//! The release as RELEASING.md tells a maintainer to cut it: its commands, as written, on a copy of the tree, against
//! servers on loopback. The result is a tree that is ready for release, and is rehearsed.
//!
//! This is a separate test program, so that it is one stage of the tests. It prints the duration of each step.

mod maintainer;
mod page;
mod servers;

use std::fs;
use std::path::Path;
use std::time::Instant;

use xtask_testkit::programs::{self, Chosen};
use xtask_testkit::{Tree, has_part, repository};

use maintainer::Maintainer;
use page::{Who, commands, script, who};
use servers::{Servers, TOKEN};

/// The version to release: the one after that of a copy.
const VERSION: &str = "0.6.0";
/// The password of the signing key.
const PASSWORD: &str = "ready-password";
/// The changelog that people write before they begin.
const CHANGELOG: &str = "# Changelog\n\n## 0.6.0 (unreleased)\n\n- What the tests release.\n";
/// The files that preparing a release changes.
const CHANGED: [&str; 6] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "compose/docker-compose.yml",
    "compose/pin-waivers.yaml",
    "docs/pins.md",
];
/// The targets that the page's commands build here.
const TARGETS: [&str; 2] = ["aarch64-unknown-linux-musl", "x86_64-unknown-linux-musl"];
/// The tests of `cargo xtask ci` that read the tree.
const TESTS: [Chosen; 7] = [
    all("xtask", "offline"),
    all("xtask", "reports"),
    all("xtask", "tidy"),
    all("xtask/check", "check"),
    all("xtask/dist", "dist"),
    all("xtask/dist", "tidy"),
    Chosen {
        package: "xtask/online",
        name: "it",
        filters: &[
            "mutation::",
            "pin::",
            "reports::",
            "states::files::downloads_must_match",
            "states::everything_is_fine",
            "states::deleted_content_is_gone",
            "update::",
            "verbs::an_unreachable_registry",
        ],
    },
];

const fn all(package: &'static str, name: &'static str) -> Chosen {
    Chosen {
        package,
        name,
        filters: &[],
    }
}

/// Runs a step, and prints its duration.
fn timed<T>(what: &str, step: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = step();
    println!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
    result
}

#[test]
fn a_tree_made_ready_by_the_page_can_be_released() {
    if !["minisign", "git", "gpg"].into_iter().all(has_part) {
        return;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ready");
    let tests = programs::find(&TESTS);
    let page = fs::read_to_string(repository().join("RELEASING.md")).expect("the page");
    let content = Tree::quick_to_build();
    content.write("CHANGELOG.md", CHANGELOG);
    for stale in ["registry", "github"] {
        let _ = fs::remove_dir_all(dir.join(stale));
    }
    let maintainer = Maintainer::new(&dir, &content);
    let servers = timed("start the servers", || {
        Servers::start(&dir, &maintainer.tree)
    });
    let maintainer = maintainer.with_servers(&servers);
    timed("make the checkout", || begin(&maintainer));

    for command in commands(&page, "Set up, once", VERSION) {
        set_up(&maintainer, &command);
    }
    let before = git(&maintainer, "rev-parse HEAD");
    git(&maintainer, "push --quiet origin main");
    for command in commands(&page, "Cut a release", VERSION) {
        timed(&command, || cut(&maintainer, &command, &tests));
    }
    timed("check the result", || assert_ready(&maintainer, &before));
    timed("the release itself", || {
        release(&maintainer, &servers, &page)
    });
}

/// Releases the tree by the page's own commands, twice: the second run has nothing left to do.
fn release(maintainer: &Maintainer, servers: &Servers, page: &str) {
    let installed = maintainer.run("rustup target list --installed");
    let installed = installed.unwrap_or_default();
    for target in TARGETS {
        if !installed.lines().any(|line| line == target) {
            println!("          (skipped: {target} is not installed)");
            return;
        }
    }
    let tag = format!("v{VERSION}");
    let head = git(maintainer, "rev-parse HEAD");
    servers.github.tag(&tag, &head).expect("the tag on GitHub");
    let script = script(page, "Without Actions", VERSION);
    let secrets = format!("{TOKEN}\n{PASSWORD}\n");
    let said = maintainer.session(&script, &secrets);
    assert!(
        said.contains(&format!("Released Polis {VERSION}: ")),
        "{said}"
    );
    println!("{said}");
    servers.journal.clear();
    let again = maintainer.session(&script, &secrets);
    assert!(
        again.contains(&format!("Released Polis {VERSION}: ")),
        "{again}"
    );
    assert_eq!(
        servers.journal.entries(),
        [],
        "a run after success changes nothing"
    );
}

fn git(maintainer: &Maintainer, args: &str) -> String {
    let command = format!("git {args}");
    let ran = maintainer.run(&command);
    ran.unwrap_or_else(|error| panic!("{error}"))
}

/// The checkout as a maintainer finds it.
fn begin(maintainer: &Maintainer) {
    let docs = maintainer.run("cargo xtask docs");
    docs.unwrap_or_else(|error| panic!("{error}"));
    git(maintainer, "init --quiet");
    git(maintainer, "add --all");
    git(maintainer, "commit --quiet -m 'The tree as it is'");
    let origin = maintainer.origin.display();
    git(maintainer, &format!("remote add origin '{origin}'"));
}

/// Runs a command of the set-up, if a machine can.
fn set_up(maintainer: &Maintainer, command: &str) {
    timed(command, || match (who(command), command) {
        (None, unknown) => unknown_command(unknown),
        (Some(Who::Person), _) => println!("          (needs a person)"),
        (_, key) if key.starts_with("minisign ") => {
            maintainer.converse(key, &format!("{PASSWORD}\n{PASSWORD}\n"));
        }
        (_, targets) if targets.starts_with("rustup ") => {
            if let Err(error) = maintainer.run(targets) {
                println!("          (skipped: {error})");
            }
        }
        (_, command) => {
            let ran = maintainer.run(command);
            ran.map(drop).unwrap_or_else(|error| panic!("{error}"));
        }
    });
}

/// Runs a command that cuts a release, or a substitute for a person or a command that takes an hour.
fn cut(maintainer: &Maintainer, command: &str, tests: &[programs::Program]) {
    match (who(command), command) {
        (None, unknown) => unknown_command(unknown),
        // GitHub's rebase merge onto a branch that has not moved.
        (Some(Who::Person), merge) if merge.starts_with("gh pr merge ") => {
            git(
                maintainer,
                &format!("push --quiet origin release-{VERSION}:main"),
            );
        }
        (Some(Who::Person), _) => println!("          (needs a person)"),
        (_, "cargo xtask ci") => checked(maintainer, tests),
        (_, command) => {
            let ran = maintainer.run(command);
            ran.map(drop).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// An unclassified command would never be tested.
fn unknown_command(command: &str) {
    panic!("`{command}`: neither a machine's nor known to need a person; see `page.rs`");
}

/// The part of `cargo xtask ci` that depends on the state of the tree.
fn checked(maintainer: &Maintainer, tests: &[programs::Program]) {
    for command in ["cargo xtask check", "cargo xtask verify-pins --offline"] {
        let ran = timed(command, || maintainer.run(command));
        ran.map(drop).unwrap_or_else(|error| panic!("{error}"));
    }
    for line in programs::run_all(&TESTS, tests, &maintainer.tree) {
        println!("{line}");
    }
}

/// Asserts that the tree is ready for release, with no other change.
fn assert_ready(maintainer: &Maintainer, before: &str) {
    let changed = git(maintainer, &format!("diff --name-only {before} HEAD"));
    assert_eq!(changed.lines().collect::<Vec<_>>(), CHANGED);
    assert_eq!(git(maintainer, "status --porcelain"), "");
    let read = |path: &str| fs::read_to_string(maintainer.tree.join(path)).expect(path);
    assert!(read("compose/pin-waivers.yaml").ends_with("waivers: []\n"));
    let verify = "cargo xtask verify-pins --offline --format json";
    let report = maintainer.run(verify).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
    let again = maintainer.run(&format!("cargo xtask prepare {VERSION} --check"));
    again.map(drop).unwrap_or_else(|error| panic!("{error}"));

    let tag = format!("v{VERSION}");
    git(maintainer, &format!("verify-tag {tag}"));
    let origin = maintainer.origin.display();
    let there = git(
        maintainer,
        &format!("--git-dir='{origin}' rev-parse '{tag}^{{commit}}' main"),
    );
    let here = git(maintainer, "rev-parse HEAD");
    assert_eq!(there, format!("{here}\n{here}"));
    assert_signs(maintainer);
}

/// Asserts that the key of the set-up signs what the committed public key verifies.
fn assert_signs(maintainer: &Maintainer) {
    fs::write(maintainer.tree.join("target/signed"), VERSION).expect("a file");
    let sign = "minisign -S -s ~/polis-release.key -m target/signed";
    maintainer.converse(sign, &format!("{PASSWORD}\n"));
    let verify = "minisign -V -p minisign.pub -m target/signed";
    let said = maintainer.run(verify);
    said.map(drop).unwrap_or_else(|error| panic!("{error}"));
}
