//! Properties of the tree that reviews would otherwise have to catch.

use std::fs;
use std::path::{Path, PathBuf};

use xtask_testkit::repository;

/// Longest source file, in lines.
const LINES: usize = 450;

/// The exception: users download the installer as one file.
const LONG: &str = "xtask/dist/installers/install.sh";

/// Phrases that read like a translation; docs/STYLE.md shows what to write instead. Compared in lower case, as whole words.
const BANNED: [&str; 24] = [
    "are not whole",
    "are there already",
    "as far as",
    "by itself",
    "go on",
    "is asked",
    "is no size",
    "is not whole",
    "is there already",
    "is to be had",
    "is told",
    "is wanted",
    "it is that",
    "knows nothing of",
    "mends",
    "nobody",
    "nobody can be asked",
    "of its own",
    "real parts",
    "says nothing of",
    "so many were not",
    "stands there",
    "the one that",
    "whoever",
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

/// Whether `line` has `phrase` between characters that are not letters.
fn has_phrase(line: &str, phrase: &str) -> bool {
    let is_letter = |next: Option<char>| next.is_some_and(char::is_alphabetic);
    line.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + phrase.len()..]);
        !is_letter(before.chars().next_back()) && !is_letter(after.chars().next())
    })
}

#[test]
fn no_banned_phrase_is_used() {
    let mut found = Vec::new();
    let extensions = ["md", "rs", "sh", "toml", "yaml", "yml"];
    files(&repository(), &extensions, &mut found);
    assert!(found.len() > 300, "{} files", found.len());
    let mut uses = Vec::new();
    for path in found {
        let name = relative(&path);
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text").to_lowercase();
        for (number, line) in text.lines().enumerate() {
            let phrases = BANNED.iter().filter(|phrase| has_phrase(line, phrase));
            uses.extend(phrases.map(|phrase| format!("{name}:{}: `{phrase}`", number + 1)));
        }
    }
    assert!(uses.is_empty(), "see docs/STYLE.md\n{}", uses.join("\n"));
    assert!(has_phrase("it mends this", "mends") && !has_phrase("recommends", "mends"));
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
