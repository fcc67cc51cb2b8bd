//! Properties of the tree that reviews would otherwise have to catch.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use xtask_testkit::repository;

/// Longest source file, in lines.
const LINES: usize = 450;

/// The exception: users download the installer as one file.
const LONG: &str = "xtask/dist/installers/install.sh";

/// Phrases that docs/STYLE.md rejects, each with how often the tree may still use it. Compared in lower case. Lower a
/// number when you remove uses; never raise one.
const BANNED: [(&str, usize); 24] = [
    ("are not whole", 0),
    ("are there already", 1),
    ("as far as", 20),
    ("by itself", 18),
    ("go on", 11),
    ("is asked", 54),
    ("is no size", 0),
    ("is not whole", 3),
    ("is there already", 2),
    ("is to be had", 1),
    ("is told", 22),
    ("is wanted", 3),
    ("it is that", 0),
    ("knows nothing of", 1),
    ("mends", 30),
    ("nobody", 87),
    ("nobody can be asked", 0),
    ("of its own", 87),
    ("real parts", 3),
    ("says nothing of", 0),
    ("so many were not", 0),
    ("stands there", 2),
    ("the one that", 25),
    ("whoever", 39),
];

/// Two quote the phrases in order to reject them, and a release rewrites the changelog.
const SKIPPED: [&str; 3] = ["CHANGELOG.md", "docs/STYLE.md", "xtask/tests/tidy.rs"];

/// The text files of the tree with these extensions, relative to its root.
fn files(dir: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            let skipped = ["target", ".git", "corpus", "node_modules"];
            // A rehearsal leaves copies of the tree's files in the top directory's `dist`.
            let released = path == repository().join("dist");
            if !released && !skipped.iter().any(|skipped| name == *skipped) {
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
        if SKIPPED.contains(&name.as_str()) {
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
    let wrong: Vec<String> = BANNED
        .iter()
        .map(|(phrase, limit)| (phrase, limit, uses.remove(phrase).unwrap_or_default()))
        .filter(|(_, limit, places)| places.len() != **limit)
        .map(|(phrase, limit, places)| {
            let count = places.len();
            match count < *limit {
                true => format!("`{phrase}` is in {count} lines: lower its limit from {limit}"),
                false => format!(
                    "`{phrase}` is in {count} lines, at most {limit} are allowed:\n  {}",
                    places.join("\n  ")
                ),
            }
        })
        .collect();
    assert!(wrong.is_empty(), "see docs/STYLE.md\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_too_long() {
    let mut found = Vec::new();
    files(&repository(), &["rs", "sh", "py"], &mut found);
    let lines = |path: &PathBuf| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let long: Vec<String> = found
        .iter()
        .map(|path| (relative(path), lines(path)))
        .filter(|(path, lines)| *lines > LINES && path != LONG)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {LINES} lines: {long:#?}");
}
