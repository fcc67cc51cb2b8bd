//! Looks into a CLI archive before it is released: that it opens, holds what it should and nothing
//! else, and that the program in it is this version's, for its platform, with this tree's files.
//!
//! Archives come from other machines. Nothing in them is run and nothing is trusted.

use std::collections::{BTreeMap, BTreeSet};

use polis_base::Digest;
use polis_base::archive::{EXECUTABLE, PLAIN};
use polis_base::facts::Facts;

use xtask_host::error::{Error, Result};

use crate::content::{self, LICENSE, MAN, NOTICES, README, README_TEXT};
use crate::pack::{self, Entry, EntryKind};
use crate::{name, platform};

/// What an archive must be.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The target it is for.
    pub triple: String,
    /// What the program in it must say about itself.
    pub facts: Facts,
    /// The text of the licence.
    pub license: String,
}

/// What an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The target it is for.
    pub triple: String,
    /// What the program in it says about itself.
    pub facts: Facts,
    /// The size of the program in bytes.
    pub program_size: u64,
    /// The size of the archive in bytes.
    pub size: u64,
    /// What the archive hashes to.
    pub sha256: Digest,
}

/// Looks into the archive `name`.
///
/// # Errors
/// Everything that is wrong with it, each as a cause.
pub fn inspect(name: &str, bytes: &[u8], expected: &Expected) -> Result<Inspected> {
    look(name, bytes, expected).map_err(|problems| {
        let error = Error::findings(format!("`{name}` cannot be released"));
        problems.into_iter().fold(error, Error::because)
    })
}

/// As [`inspect`], with the problems as they are: for several archives in one error.
pub(crate) fn look(
    name: &str,
    bytes: &[u8],
    expected: &Expected,
) -> std::result::Result<Inspected, Vec<String>> {
    let wanted = name::archive_name(&expected.facts.label, &expected.triple);
    if name != wanted {
        return Err(vec![format!("it is called `{name}`, expected `{wanted}`")]);
    }
    let entries = pack::unpack(name, bytes).map_err(|problem| vec![problem])?;
    let mut problems = structure(&entries, expected);
    let stem = name::stem(&expected.facts.label, &expected.triple);
    let program = format!("{stem}/{}", name::program_name(&expected.triple));
    let mut facts = None;
    let mut program_size = 0;
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::File) {
        if entry.path == program {
            program_size = entry.bytes.len() as u64;
            problems.extend(platform::check(&entry.bytes, &expected.triple).err());
            match Facts::find(&entry.bytes) {
                Ok(found) => {
                    problems.extend(differences(&found, &expected.facts));
                    facts = Some(found);
                }
                Err(error) => problems.push(error.to_string()),
            }
        } else if let Some(file) = entry.path.strip_prefix(&format!("{stem}/")) {
            problems.extend(text(file, &entry.bytes, expected).err());
        }
    }
    // Last, what no reader of entries sees: hidden bytes, odd headers, another compressor.
    if problems.is_empty() && pack::pack(name, &entries).as_deref() != Ok(bytes) {
        problems.push(
            "its entries are right, but its bytes differ from what these tools pack from them"
                .to_owned(),
        );
    }
    match facts {
        Some(facts) if problems.is_empty() => Ok(Inspected {
            triple: expected.triple.clone(),
            facts,
            program_size,
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        }),
        _ => Err(problems),
    }
}

/// Compares the entries with those that an archive has: path, type and mode of each.
fn structure(entries: &[Entry], expected: &Expected) -> Vec<String> {
    let stem = name::stem(&expected.facts.label, &expected.triple);
    let program = name::program_name(&expected.triple);
    let tops = entries.iter().map(|entry| entry.path.split('/').next());
    let tops: BTreeSet<&str> = tops.flatten().collect();
    if let (1, Some(&top)) = (tops.len(), tops.first())
        && top != stem
    {
        return vec![format!("it holds `{top}`, expected the directory `{stem}`")];
    }
    let mut missing: BTreeMap<String, (EntryKind, u32)> = content::files()
        .into_iter()
        .map(|file| (format!("{stem}/{file}"), (EntryKind::File, PLAIN)))
        .chain(
            [
                stem.clone(),
                format!("{stem}/{}", content::COMPLETIONS),
                format!("{stem}/{MAN}"),
            ]
            .map(|dir| (dir, (EntryKind::Directory, EXECUTABLE))),
        )
        .collect();
    missing.insert(format!("{stem}/{program}"), (EntryKind::File, EXECUTABLE));
    let known = missing.clone();
    let mut problems = Vec::new();
    for entry in entries {
        let Some((kind, mode)) = known.get(&entry.path) else {
            problems.push(format!(
                "`{}` does not belong in it",
                entry.path.escape_debug()
            ));
            continue;
        };
        if missing.remove(&entry.path).is_none() {
            problems.push(format!("`{}` is in it twice", entry.path));
        }
        if entry.kind != *kind {
            problems.push(format!("`{}` is not a {}", entry.path, word(*kind)));
        } else if entry.mode != *mode {
            let (found, path) = (entry.mode, &entry.path);
            problems.push(format!(
                "`{path}` has mode {found:04o}, expected {mode:04o}"
            ));
        }
    }
    problems.extend(missing.keys().map(|path| format!("`{path}` is missing")));
    problems
}

fn word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Directory => "directory",
        _ => "regular file",
    }
}

/// Compares what the program says with what it must say, field by field.
fn differences(found: &Facts, expected: &Facts) -> Vec<String> {
    let both = found.fields().into_iter().zip(expected.fields());
    both.filter(|((_, found), (_, expected))| found != expected)
        .map(|((field, found), (_, expected))| {
            let what = match field {
                "label" => "the version of the program",
                "compose" => "the compose file in the program",
                "cloud_init" => "the cloud-init file in the program",
                "bundle" => "the bundle in the program",
                _ => "the release key in the program",
            };
            format!("{what} is {found}, expected {expected}")
        })
        .collect()
}

/// Judges a file beside the program: text, and what its name promises.
fn text(file: &str, bytes: &[u8], expected: &Expected) -> std::result::Result<(), String> {
    let text = std::str::from_utf8(bytes).ok();
    let text = text.filter(|text| !text.contains('\0') && !text.trim().is_empty());
    let text = text.ok_or(format!("`{file}` is not text"))?;
    let label = &expected.facts.label;
    let (well, why) = match file {
        LICENSE => (text == expected.license, "is not the licence of the tree"),
        README => (
            text == README_TEXT,
            "differs from the one that these tools pack",
        ),
        _ if file.starts_with(&format!("{MAN}/")) => (
            text.contains(&format!("\"polis {label}\"")),
            "is another version's",
        ),
        NOTICES => {
            let title = crate::notices::title(label, &expected.triple);
            (text.starts_with(&title), "is another version's or target's")
        }
        _ => (true, ""),
    };
    match well {
        true => Ok(()),
        false => Err(format!("`{file}` {why}")),
    }
}

#[cfg(test)]
mod tests;
