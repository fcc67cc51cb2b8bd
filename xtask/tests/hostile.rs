//! Untrusted input and output: trees that contain more than files, output that is closed or full, text that a terminal
//! would obey.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;

use xtask_testkit::{Ran, Tree};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

fn verify_pins(tree: &Tree, more: &[&str]) -> Ran {
    let args = [&["verify-pins", "--offline", "--today", "2026-11-01"], more].concat();
    tree.run(XTASK, &args)
}

/// Runs `verify-pins` through a shell that redirects its output; fails after twenty seconds.
fn through(tree: &Tree, rest: &str) -> Ran {
    let script = format!(
        "{{ timeout 20 '{XTASK}' verify-pins --offline --today 2026-11-01 --format json; echo $? >code; }} {rest}"
    );
    let ran = tree.run("bash", &["-c", &script]);
    Ran {
        code: tree.read("code").trim().parse().expect("a number"),
        ..ran
    }
}

#[test]
fn files_that_are_special_or_outside_the_tree_are_reported_and_not_read() {
    let tree = Tree::data();
    let path = tree.root().join("compose.yaml");
    // Any name can be that of a compose file, so the last two are opened to look.
    for fifo in ["compose.yaml", "stack.yaml", "build.hcl"] {
        assert_eq!(tree.run("mkfifo", &[fifo]).code, 0);
        let ran = through(&tree, "");
        assert_eq!(ran.code, 1, "{}", ran.seen());
        let said = format!("{fifo}` is not a regular file");
        assert!(ran.stdout.contains(&said), "{}", ran.seen());
        fs::remove_file(tree.root().join(fifo)).unwrap();
    }
    fs::write(&path, "").unwrap();
    for outside in ["/dev/zero", "/etc/passwd"] {
        fs::remove_file(&path).unwrap();
        symlink(outside, &path).unwrap();
        let ran = through(&tree, "");
        assert_eq!(ran.code, 1, "{}", ran.seen());
        let said = format!("leads out of the tree, to `{outside}`");
        assert!(ran.stdout.contains(&said), "{}", ran.seen());
    }
}

#[test]
fn deep_lists_are_a_finding() {
    let tree = Tree::data();
    tree.write("compose.yaml", &format!("{}a\n", "- ".repeat(12_000)));
    let ran = verify_pins(&tree, &["--format", "json"]);
    assert_eq!(
        ran.findings(),
        ["yaml-syntax compose.yaml:1"],
        "{}",
        ran.seen()
    );
}

#[test]
fn a_closed_output_ends_quietly_and_a_full_one_is_an_error() {
    let tree = Tree::data();
    let ran = through(&tree, "| true");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.seen());
    let ran = through(&tree, ">/dev/full");
    assert_eq!(ran.code, 5, "{}", ran.seen());
    assert!(
        ran.stderr.contains("cannot write the result"),
        "{}",
        ran.seen()
    );
    // The error cannot be written, and that causes no panic.
    let ran = through(&tree, ">/dev/full 2>/dev/full");
    assert_eq!(ran.code, 5, "{}", ran.seen());
    let ran = through(&tree, "2>&- >&-");
    assert!(matches!(ran.code, 0 | 5), "{}", ran.seen());
}

#[test]
fn control_sequences_are_not_printed() {
    let tree = Tree::data();
    let hostile =
        "services:\n  x:\n    image: \"g.io/a/b:\u{1b}]52;c;eA==\u{7}\u{202e}\u{9b}2J\"\n";
    tree.write("compose.yaml", hostile);
    for format in ["human", "json", "sarif", "github", "markdown"] {
        let ran = verify_pins(&tree, &["--format", format]);
        assert_eq!(ran.code, 1, "{}", ran.seen());
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        let seen = ran.stdout + &ran.stderr;
        assert!(!seen.chars().any(obeyed), "{format}: {seen:?}");
        assert!(seen.contains("eA=="), "{format}: {seen}");
    }
}
