//! Inspects a CLI archive before it is released: it must unpack, contain exactly the expected files, and its program
//! must be this version, for the right platform, with this tree's embedded files.
//!
//! Archives come from other machines. Nothing in them is run or trusted.

use std::collections::{BTreeMap, BTreeSet};

use polis_base::Digest;
use polis_base::archive::{EXECUTABLE, PLAIN};
use polis_base::facts::Facts;

use xtask_host::error::{Error, Result};

use crate::content::{self, LICENSE, MAN, NOTICES, README, README_TEXT};
use crate::pack::{self, Entry, EntryKind};
use crate::{name, platform};

/// The requirements on an archive.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The target that it is for.
    pub triple: String,
    /// The facts that its program must carry.
    pub facts: Facts,
    /// The text of the licence.
    pub license: String,
}

/// An archive that passed inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The target that it is for.
    pub triple: String,
    /// The facts that its program carries.
    pub facts: Facts,
    /// The size of the program in bytes.
    pub program_size: u64,
    /// The size of the archive in bytes.
    pub size: u64,
    /// The digest of the archive.
    pub sha256: Digest,
}

/// Inspects the archive `name`.
///
/// # Errors
/// With every problem as a cause.
pub fn inspect(name: &str, bytes: &[u8], expected: &Expected) -> Result<Inspected> {
    look(name, bytes, expected).map_err(|problems| {
        let error = Error::findings(format!("`{name}` cannot be released"));
        problems.into_iter().fold(error, Error::because)
    })
}

/// As [`inspect`], but returns the problems themselves, so that several archives can share one error.
pub(crate) fn look(
    name: &str,
    bytes: &[u8],
    expected: &Expected,
) -> std::result::Result<Inspected, Vec<String>> {
    let wanted = name::archive_name(&expected.facts.label, &expected.triple);
    if name != wanted {
        return Err(vec![format!("its name is `{name}`, expected `{wanted}`")]);
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
    // Last, what entries do not show: hidden bytes, unusual headers, another compressor.
    if problems.is_empty() && pack::pack(name, &entries).as_deref() != Ok(bytes) {
        problems.push(
            "its entries are correct, but its bytes differ from what these tools pack from them"
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

/// Compares the path, type and mode of each entry with the expected ones.
fn structure(entries: &[Entry], expected: &Expected) -> Vec<String> {
    let stem = name::stem(&expected.facts.label, &expected.triple);
    let program = name::program_name(&expected.triple);
    let tops = entries.iter().map(|entry| entry.path.split('/').next());
    let tops: BTreeSet<&str> = tops.flatten().collect();
    if let (1, Some(&top)) = (tops.len(), tops.first())
        && top != stem
    {
        return vec![format!(
            "it contains `{top}`, expected the directory `{stem}`"
        )];
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
            problems.push(format!("`{}` is unexpected", entry.path.escape_debug()));
            continue;
        };
        if missing.remove(&entry.path).is_none() {
            problems.push(format!("`{}` appears twice", entry.path));
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

/// Compares the program's facts with the expected ones, field by field.
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

/// Checks a file beside the program: that it is text, with the content that its name implies.
fn text(file: &str, bytes: &[u8], expected: &Expected) -> std::result::Result<(), String> {
    let text = std::str::from_utf8(bytes).ok();
    let text = text.filter(|text| !text.contains('\0') && !text.trim().is_empty());
    let text = text.ok_or(format!("`{file}` is not text"))?;
    let label = &expected.facts.label;
    let (well, why) = match file {
        LICENSE => (
            text == expected.license,
            "differs from the licence in the tree",
        ),
        README => (
            text == README_TEXT,
            "differs from the README that these tools pack",
        ),
        _ if file.starts_with(&format!("{MAN}/")) => (
            text.contains(&format!("\"polis {label}\"")),
            "is for another version",
        ),
        NOTICES => {
            let title = crate::notices::title(label, &expected.triple);
            (text.starts_with(&title), "is for another version or target")
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
