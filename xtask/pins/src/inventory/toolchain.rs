//! Pins of the Rust toolchain: in `rust-toolchain.toml`, in manifests, and in commands of workflows and Dockerfiles.

use std::ops::Range;

use serde::Deserialize;

use super::collect::{Collector, split};
use super::files::{FileKind, Files, TOOLCHAIN};
use super::model::{Dependency, Field, Occurrence};
use xtask_host::source::Source;

#[derive(Deserialize)]
struct File {
    toolchain: Table,
}

#[derive(Deserialize)]
struct Table {
    channel: Option<toml::Spanned<String>>,
}

/// The Rust versions in a manifest or in clippy's configuration.
#[derive(Deserialize)]
struct RustVersions {
    package: Option<Package>,
    workspace: Option<Workspace>,
    msrv: Option<toml::Spanned<String>>,
}

#[derive(Deserialize)]
struct Workspace {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    /// A string, or a table in a member that inherits it.
    #[serde(rename = "rust-version")]
    rust_version: Option<toml::Spanned<toml::Value>>,
}

/// Collects the toolchains that the files name.
pub(super) fn extract(files: &Files, into: &mut Collector) {
    if let Some(source) = &files.legacy_toolchain {
        let message = format!("rustup prefers this file to `{TOOLCHAIN}`: delete it");
        let at = into.at(source, 0..0);
        into.error("toolchain", &at, message);
    }
    match &files.toolchain {
        Some(source) => channel(source, into),
        None => {
            let source = Source {
                path: TOOLCHAIN.to_owned(),
                text: String::new(),
            };
            let at = into.at(&source, 0..0);
            into.error("toolchain", &at, "the file is missing");
        }
    }
    for source in files.of(FileKind::Manifest) {
        manifest(source, into);
    }
    for kind in [FileKind::Workflow, FileKind::Dockerfile] {
        for source in files.of(kind) {
            commands(source, into);
        }
    }
}

fn channel(source: &Source, into: &mut Collector) {
    match toml::from_str::<File>(&source.text) {
        Ok(File {
            toolchain: Table {
                channel: Some(channel),
            },
        }) => {
            let text = channel.get_ref();
            quoted(source, channel.span(), text, "toolchain file", into);
        }
        Ok(_) => {
            let at = into.at(source, 0..0);
            into.error("toolchain", &at, "`channel` is missing");
        }
        Err(error) => syntax(source, &error, into),
    }
}

fn manifest(source: &Source, into: &mut Collector) {
    // A shortcut: most manifests inherit the version, and need no parser.
    let own = |line: &str| {
        let line = line.trim_start();
        line.starts_with("rust-version =")
            || line.starts_with("rust-version=")
            || line.starts_with("msrv")
    };
    if !source.text.lines().any(own) {
        return;
    }
    let manifest = match toml::from_str::<RustVersions>(&source.text) {
        Ok(manifest) => manifest,
        Err(error) => return syntax(source, &error, into),
    };
    let packages = [
        manifest.package,
        manifest.workspace.and_then(|workspace| workspace.package),
    ];
    for package in packages.into_iter().flatten() {
        let Some(version) = package.rust_version else {
            continue;
        };
        if let Some(text) = version.get_ref().as_str() {
            quoted(source, version.span(), text, "rust-version", into);
        }
    }
    if let Some(version) = manifest.msrv {
        quoted(source, version.span(), version.get_ref(), "msrv", into);
    }
}

fn syntax(source: &Source, error: &toml::de::Error, into: &mut Collector) {
    let at = into.at(source, error.span().unwrap_or(0..0));
    into.error("toml-syntax", &at, error.message().to_owned());
}

/// Adds `text`, the value of the TOML string at `span`.
fn quoted(source: &Source, span: Range<usize>, text: &str, by: &str, into: &mut Collector) {
    let quotes = span.len().saturating_sub(text.len()) / 2;
    let inside = span.start + quotes..span.end - quotes;
    // A string with escapes cannot be edited.
    if source.text.get(inside.clone()) == Some(text) {
        return mention(source, inside, by, into);
    }
    let message = format!("write the {by} as plain text, without escapes");
    let at = into.at(source, span);
    into.error("toolchain", &at, message);
}

/// Adds the toolchains of commands, inputs and variables: `rustup toolchain install 1.2.3`, `cargo +1.2.3`,
/// `toolchain: 1.2.3`, `RUSTUP_TOOLCHAIN`.
fn commands(source: &Source, into: &mut Collector) {
    const SIGNS: [&str; 5] = [
        "rustup",
        "cargo +",
        "rustc +",
        "toolchain:",
        "RUSTUP_TOOLCHAIN",
    ];
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let comment = line.trim_start().starts_with('#');
        if !comment && SIGNS.iter().any(|sign| line.contains(sign)) {
            for span in named(line) {
                let span = start + span.start..start + span.end;
                mention(source, span, "command", into);
            }
        }
    }
}

/// The spans of the toolchains in a line.
fn named(line: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    split(line, 0, &mut spans);
    let words: Vec<&str> = spans.iter().map(|span| &line[span.clone()]).collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let word = word.trim_start_matches(['{', '(', '$', '`']);
        let assigned = word.strip_prefix("RUSTUP_TOOLCHAIN=").map(str::len);
        let name = match (word, &words[at + 1..]) {
            ("cargo" | "rustc", [name, ..]) if name.starts_with('+') => {
                found.push(spans[at + 1].start + 1..spans[at + 1].end);
                continue;
            }
            _ if assigned.is_some() => {
                found.push(spans[at].end - assigned.unwrap_or(0)..spans[at].end);
                continue;
            }
            ("toolchain:" | "RUSTUP_TOOLCHAIN:", [_, ..]) => at + 1,
            ("rustup", ["toolchain", "install" | "add", ..] | ["override", "set", ..]) => at + 3,
            ("rustup", ["install" | "default" | "run" | "update", ..]) => at + 2,
            _ => continue,
        };
        let plain = |name: &&&str| !name.starts_with(['-', '#', '&', '|', ';']);
        found.extend(words.get(name).filter(plain).map(|_| spans[name].clone()));
    }
    let quotes = ['\'', '"', '`', ',', ')', '}'];
    let inner = found.into_iter().map(|span| {
        let text = line[span.clone()].trim_start_matches(quotes);
        let start = span.end - text.len();
        start..start + text.trim_end_matches(quotes).len()
    });
    inner.collect()
}

fn mention(source: &Source, span: Range<usize>, by: &str, into: &mut Collector) {
    let channel = source.text[span.clone()].to_owned();
    let at = into.at(source, span);
    if channel.is_empty() {
        let message = "the toolchain is empty: expected a version, such as 1.95.0";
        return into.error("toolchain", &at, message);
    }
    let occurrence = Occurrence {
        field: Field::Channel,
        by: by.to_owned(),
        at,
    };
    into.pin(Dependency::Toolchain(channel), [occurrence]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn found(read: fn(&Source, &mut Collector), text: &str) -> (Vec<String>, Vec<&'static str>) {
        let source = source("x", text);
        let mut collector = Collector::default();
        read(&source, &mut collector);
        let occurrences = collector.pins.iter().flat_map(|pin| &pin.occurrences);
        (
            occurrences
                .map(|found| text[found.at.span.clone()].to_owned())
                .collect(),
            collector
                .findings
                .iter()
                .map(|finding| finding.rule)
                .collect(),
        )
    }

    #[test]
    fn an_empty_toolchain_is_a_finding() {
        for text in [
            "  RUSTUP_TOOLCHAIN='' cargo b\n",
            "cargo +\"\" b\n",
            "cargo + b\n",
            "RUSTUP_TOOLCHAIN: ''\n",
            "toolchain: \"\"\n",
            "RUSTUP_TOOLCHAIN=\n",
            "rustup default ')'\n",
        ] {
            assert_eq!(found(commands, text).1, ["toolchain"], "{text:?}");
        }
        for name in ["''", r#""\u0031é\n""#, r#""é\u00e9\n""#] {
            let text = format!("[toolchain]\nchannel = {name}\n");
            assert_eq!(found(channel, &text).1, ["toolchain"], "{text}");
        }
    }

    #[test]
    fn the_toolchain_file_names_a_channel() {
        let text = "[toolchain]\nchannel = '1.95.0' # why\n";
        assert_eq!(found(channel, text), (vec!["1.95.0".to_owned()], vec![]));
        assert_eq!(
            found(channel, "[toolchain]\npath = 'x'\n"),
            (vec![], vec!["toolchain"])
        );
        assert_eq!(found(channel, "channel = 1\n").1, ["toml-syntax"]);
    }

    #[test]
    fn manifests_and_clippy_name_a_version() {
        for (text, value) in [
            (
                "[workspace.package]\nrust-version = \"1.95.0\"\n",
                Some("1.95.0"),
            ),
            (
                "[package]\nname = 'x'\nrust-version = \"1.95.0\"\n",
                Some("1.95.0"),
            ),
            (
                "[package]\nname = 'x'\nrust-version.workspace = true\n",
                None,
            ),
            ("[package]\nrust-version = { workspace = true }\n", None),
            ("msrv = \"1.95.0\"\n", Some("1.95.0")),
        ] {
            let values: Vec<String> = value.map(str::to_owned).into_iter().collect();
            assert_eq!(found(manifest, text), (values, vec![]), "{text}");
        }
    }

    #[test]
    fn toolchains_of_commands_are_found() {
        for (line, value) in [
            (
                "      - run: rustup toolchain install --no-self-update",
                None,
            ),
            (
                "run: rustup toolchain install 1.94.0 --profile minimal",
                Some("1.94.0"),
            ),
            ("run: rustup default stable", Some("stable")),
            ("run: rustup target add x86_64-unknown-linux-musl", None),
            ("run: rustup run nightly cargo test", Some("nightly")),
            ("run: cargo +1.94.0 test", Some("1.94.0")),
            ("  toolchain: '1.94.0'", Some("1.94.0")),
            ("  env: {RUSTUP_TOOLCHAIN: \"1.94.0\"}", Some("1.94.0")),
            ("ENV RUSTUP_TOOLCHAIN=stable", Some("stable")),
            ("run: cargo test", None),
            ("# rustup default stable", None),
            ("RUN rustup install $V && x", Some("$V")),
        ] {
            let values: Vec<String> = value.map(str::to_owned).into_iter().collect();
            assert_eq!(found(commands, line).0, values, "{line}");
        }
        let two = "run: cargo +nightly fmt && cargo +stable test";
        assert_eq!(found(commands, two).0, ["nightly", "stable"]);
    }
}
