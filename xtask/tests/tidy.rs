//! Properties of the tree that reviews would otherwise have to catch.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use xtask_testkit::repository;

/// Longest source file, in lines.
const LINES: usize = 450;

/// Files that are still longer.
const LONG: [&str; 12] = [
    "cli/tests/it/agents.rs",
    "cli/tests/it/copy.rs",
    "cli/tests/it/ssh.rs",
    "xtask/build/src/images.rs",
    "xtask/check/src/sandbox/table.rs",
    "xtask/check/tests/check.rs",
    "xtask/dist/installers/install.sh",
    "xtask/pins/src/contract/reader.rs",
    "xtask/pins/src/inventory/judge.rs",
    "xtask/src/cli.rs",
    "xtask/tests/hostile_pins.rs",
    "xtask/yaml/src/lib.rs",
];

/// Phrases that docs/STYLE.md rejects, each with how often the tree may still use it. Compared in lower case. Lower a
/// number when you remove uses; never raise one.
const BANNED: [(&str, usize); 24] = [
    ("are not whole", 0),
    ("are there already", 1),
    ("as far as", 30),
    ("by itself", 25),
    ("go on", 18),
    ("is asked", 80),
    ("is no size", 0),
    ("is not whole", 16),
    ("is there already", 8),
    ("is to be had", 14),
    ("is told", 34),
    ("is wanted", 5),
    ("it is that", 2),
    ("knows nothing of", 2),
    ("mends", 48),
    ("nobody", 148),
    ("nobody can be asked", 0),
    ("of its own", 131),
    ("real parts", 4),
    ("says nothing of", 2),
    ("so many were not", 0),
    ("stands there", 8),
    ("the one that", 35),
    ("whoever", 68),
];

/// Quote the phrases in order to reject them.
const QUOTING: [&str; 2] = ["docs/STYLE.md", "xtask/tests/tidy.rs"];

/// The text files of the tree with these extensions, relative to its root.
fn files(dir: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            let skipped = ["target", ".git", "corpus", "node_modules"];
            if !skipped.iter().any(|skipped| name == *skipped) {
                files(&path, extensions, found);
            }
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
        {
            found.push(path);
        }
    }
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(repository()).expect("in the tree");
    path.to_string_lossy().replace('\\', "/")
}

#[test]
fn no_banned_phrase_becomes_more_frequent() {
    let mut found = Vec::new();
    let extensions = ["md", "rs", "sh", "toml", "yaml", "yml"];
    files(&repository(), &extensions, &mut found);
    assert!(found.len() > 300, "{} files", found.len());
    let mut uses: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in found {
        let name = relative(&path);
        if QUOTING.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text").to_lowercase();
        for (number, line) in text.lines().enumerate() {
            let phrases = BANNED.iter().filter(|(phrase, _)| line.contains(phrase));
            for (phrase, _) in phrases {
                let place = format!("{name}:{}", number + 1);
                uses.entry(phrase).or_default().push(place);
            }
        }
    }
    for (phrase, most) in BANNED {
        let places = uses.remove(phrase).unwrap_or_default();
        let count = places.len();
        assert!(
            count <= most,
            "`{phrase}` is in {count} lines, at most {most} are allowed; see docs/STYLE.md:\n{}",
            places.join("\n")
        );
    }
}

#[test]
fn no_source_file_is_too_long() {
    let mut found = Vec::new();
    files(&repository(), &["rs", "sh", "py"], &mut found);
    let lines = |path: &PathBuf| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let long: Vec<String> = found
        .iter()
        .map(|path| (relative(path), lines(path)))
        .filter(|(path, lines)| *lines > LINES && !LONG.contains(&path.as_str()))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {LINES} lines: {long:#?}");
}
