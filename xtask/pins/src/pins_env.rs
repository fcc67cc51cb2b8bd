//! `/etc/polis/pins.env`: what the VM downloads, and the checksums it must have.
//!
//! It is one `write_files` entry of the cloud-init file, and the only list of downloads: the tools are those that it
//! names, and every name must be one that the provisioning script beside it reads as `${PIN[NAME]}`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use polis_base::Digest;

use crate::edit::At;
use crate::yaml::Node;
use xtask_host::finding::Finding;
use xtask_host::source::{Place, Source};

/// Where the cloud-init file stands in the tree.
pub const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";
/// The path of the entry in the VM.
pub const PINS_ENV: &str = "/etc/polis/pins.env";

/// The architectures that a release serves, by the name Debian and OCI give them.
pub const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// The names that belong to no tool.
const REPOSITORY: [&str; 4] = [
    "DOCKER_KEY_URL",
    "DOCKER_KEY_FINGERPRINT",
    "DOCKER_REPO_URL",
    "DOCKER_REPO_SUITE",
];

/// The pins.
#[derive(Debug, Clone)]
pub struct Pins {
    /// Where Docker's package signing key is served.
    pub docker_key_url: String,
    /// The fingerprint of the one primary key that may be in it.
    pub docker_key_fingerprint: String,
    /// Where the URL, the fingerprint and the URL of the repository that the key signs stand.
    pub key_at: KeyAt,
    /// The files, each with its checksum.
    pub downloads: Vec<Download>,
}

/// Where the values about the key stand.
#[derive(Debug, Clone)]
pub struct KeyAt {
    /// `DOCKER_KEY_URL`.
    pub url: At,
    /// `DOCKER_KEY_FINGERPRINT`.
    pub fingerprint: At,
    /// `DOCKER_REPO_URL`.
    pub repository: At,
}

/// A file that the VM downloads.
#[derive(Debug, Clone)]
pub struct Download {
    /// Such as `yq`: the names of its pins start with `YQ_`.
    pub tool: String,
    /// Its version, as pinned.
    pub version: String,
    /// `amd64` or `arm64`.
    pub architecture: &'static str,
    /// Where it is served.
    pub url: String,
    /// What it must hash to.
    pub sha256: Digest,
    /// Where the checksum stands.
    pub place: Place,
    /// Where version, URL and checksum stand.
    pub at: DownloadAt,
}

/// Where the values about a download stand.
#[derive(Debug, Clone)]
pub struct DownloadAt {
    /// `TOOL_VERSION`, one for all architectures.
    pub version: At,
    /// `TOOL_URL_ARCHITECTURE`.
    pub url: At,
    /// `TOOL_SHA256_ARCHITECTURE`.
    pub sha256: At,
}

/// One line `NAME=value` with the bytes of its value.
struct Line<'a> {
    value: &'a str,
    span: Range<usize>,
}

/// Reads the pins out of the parsed cloud-init file.
///
/// # Errors
/// Every finding: a missing entry, an unknown, doubled or missing name, a value that is not
/// what its name promises.
pub fn read(source: &Source, root: &Node) -> Result<Pins, Vec<Finding>> {
    let Some(content) = entry(root, PINS_ENV) else {
        let files = root.entry("write_files");
        let start = root.span.start..root.span.start;
        let place = source.place(files.map_or(start, |(key, _)| key.span.clone()));
        return Err(vec![
            Finding::error(
                "pins-missing",
                place,
                format!("no `write_files` entry writes `{PINS_ENV}`"),
            )
            .help("the pins of what the VM downloads stand there, and only there"),
        ]);
    };
    let mut reader = Reader {
        source,
        block: content.span.clone(),
        used: used(&source.text),
        lines: BTreeMap::new(),
        findings: Vec::new(),
    };
    reader.collect(content);
    let pins = reader.pins();
    if reader.findings.is_empty() {
        pins.ok_or_else(Vec::new)
    } else {
        Err(reader.findings)
    }
}

/// The content node of the `write_files` entry for `path`.
pub fn entry<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    root.get("write_files")?
        .items()
        .iter()
        .find(|item| item.get("path").and_then(Node::text) == Some(path))?
        .get("content")
}

struct Reader<'a> {
    source: &'a Source,
    block: Range<usize>,
    /// What the script reads.
    used: BTreeSet<String>,
    lines: BTreeMap<&'a str, Line<'a>>,
    findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    /// Takes the lines as they stand in the file: a literal block keeps them one to one.
    fn collect(&mut self, content: &'a Node) {
        let mut at = self.block.start;
        for raw in self.source.text[self.block.clone()].split_inclusive('\n') {
            let indent = raw.len() - raw.trim_start().len();
            let line = raw.trim();
            let span = at + indent..at + indent + line.len();
            at += raw.len();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                self.wrong(span, "expected `NAME=value`");
                continue;
            };
            if !value.is_empty() && value.contains([' ', '"', '\'', '$', '`', '\\']) {
                self.wrong(
                    span,
                    "a value is plain text, without quotes, blanks or expansions",
                );
            } else if !REPOSITORY.contains(&name) && tool_of(name).is_none() {
                self.wrong(span, &format!("`{name}` is not the name of a pin: {NAMES}"));
            } else if !self.is_read(name) {
                let message = format!("`{name}` is not a pin that the provisioning script reads");
                self.wrong(span, &message);
            } else if self.lines.contains_key(name) {
                self.wrong(span, &format!("`{name}` stands here a second time"));
            } else {
                let span = span.start + name.len() + 1..span.end;
                self.lines.insert(name, Line { value, span });
            }
        }
        if content.text().is_none() {
            self.wrong(self.block.clone(), "the content is not text");
        }
    }

    fn pins(&mut self) -> Option<Pins> {
        let key = self.checked("DOCKER_KEY_URL", is_https, "an https URL");
        let fingerprint = self.checked(
            "DOCKER_KEY_FINGERPRINT",
            is_fingerprint,
            "40 upper-case hex digits",
        );
        let repository = self.checked("DOCKER_REPO_URL", is_https, "an https URL");
        let suite = self.checked(
            "DOCKER_REPO_SUITE",
            is_suite,
            "the code name of a release of Ubuntu",
        );
        let mut downloads = Vec::new();
        for tool in self.tools() {
            let of_tool = ARCHITECTURES.map(|architecture| self.download(&tool, architecture));
            let [Some(one), Some(other)] = of_tool else {
                continue;
            };
            self.agree(&one, &other);
            downloads.extend([one, other]);
        }
        let ((key, key_at), (fingerprint, fingerprint_at)) = (key?, fingerprint?);
        let (repository, repository_at) = repository?;
        suite?;
        if !key.starts_with(&format!("{repository}/")) {
            let message = "the key's URL is not below that of the repository that it signs";
            self.wrong(key_at.span.clone(), message);
            self.wrong(repository_at.span.clone(), message);
        }
        Some(Pins {
            docker_key_url: key,
            docker_key_fingerprint: fingerprint,
            key_at: KeyAt {
                url: key_at,
                fingerprint: fingerprint_at,
                repository: repository_at,
            },
            downloads,
        })
    }

    /// Whether the script reads `name`. A version need not be read: it is what the URLs name, and what `update` moves.
    fn is_read(&self, name: &str) -> bool {
        let tool = tool_of(name).filter(|_| name.ends_with("_VERSION"));
        let of_tool = |used: &String| tool.is_some() && tool_of(used) == tool;
        self.used.contains(name) || self.used.iter().any(of_tool)
    }

    /// Every tool of which a name is pinned or read. A name that the script reads and that is none of a pin is a
    /// finding here.
    fn tools(&mut self) -> BTreeSet<String> {
        let used: Vec<_> = self.used.iter().cloned().collect();
        for name in used {
            if tool_of(&name).is_none() && !REPOSITORY.contains(&name.as_str()) {
                let message =
                    format!("the script reads `{name}`, which is not the name of a pin: {NAMES}");
                self.wrong(self.block.start..self.block.start, &message);
            }
        }
        let names = self.lines.keys().copied();
        let names = names.chain(self.used.iter().map(String::as_str));
        names.filter_map(tool_of).collect()
    }

    fn download(&mut self, tool: &str, architecture: &'static str) -> Option<Download> {
        let [name, arch] = [tool, architecture].map(str::to_ascii_uppercase);
        let version = self.checked(
            &format!("{name}_VERSION"),
            |value| !value.is_empty(),
            "a version",
        );
        let url = self.checked(&format!("{name}_URL_{arch}"), is_https, "an https URL");
        let sha256 = self.checked(
            &format!("{name}_SHA256_{arch}"),
            |value| Digest::from_hex(value).is_ok(),
            "64 lower-case hex digits",
        );
        let ((version, version_at), (url, url_at)) = (version?, url?);
        let (sha256, sha256_at) = sha256?;
        if !url.contains(architecture) {
            let message = format!("the URL does not name `{architecture}`, which it is pinned for");
            self.wrong(url_at.span.clone(), &message);
        }
        Some(Download {
            tool: tool.to_owned(),
            version,
            architecture,
            url,
            sha256: Digest::from_hex(&sha256).ok()?,
            place: sha256_at.place.clone(),
            at: DownloadAt {
                version: version_at,
                url: url_at,
                sha256: sha256_at,
            },
        })
    }

    /// The two files of one tool differ in their architecture and in nothing else, and every
    /// version in their URLs is the pinned one.
    fn agree(&mut self, one: &Download, other: &Download) {
        let neutral = |download: &Download| download.url.replace(download.architecture, "*");
        if neutral(one) != neutral(other) {
            for (this, that) in [(one, other), (other, one)] {
                let message = format!(
                    "the URL differs from that for {} in more than the architecture",
                    that.architecture
                );
                self.wrong(this.at.url.span.clone(), &message);
            }
        }
        let names = |download: &Download| names_version(&download.url, &download.version);
        let (right, version) = ([names(one), names(other)], &one.version);
        for (download, right) in [one, other].into_iter().zip(right) {
            if !right {
                let message = format!("the URL is not that of `{version}`, which is pinned");
                self.wrong(download.at.url.span.clone(), &message);
            }
        }
        if right == [false, false] {
            let message = format!("no URL is that of `{version}`");
            self.wrong(one.at.version.span.clone(), &message);
        }
        if one.sha256 == other.sha256 {
            let message = "two architectures cannot have one checksum";
            self.wrong(other.at.sha256.span.clone(), message);
        }
    }

    /// The value of `name`, where it is there and is what `expected` says.
    fn checked(
        &mut self,
        name: &str,
        is: impl Fn(&str) -> bool,
        expected: &str,
    ) -> Option<(String, At)> {
        match self.lines.get(name) {
            None => {
                let start = self.block.start;
                self.push(
                    "pins-missing",
                    start..start,
                    &format!("`{name}` is missing: expected {expected}"),
                );
                None
            }
            Some(line) if !is(line.value) => {
                let (span, found) = (line.span.clone(), line.value.len());
                self.wrong(
                    span,
                    &format!("`{name}` is not {expected} (it has {found} characters)"),
                );
                None
            }
            Some(line) => Some((
                line.value.to_owned(),
                At::new(self.source, line.span.clone()),
            )),
        }
    }

    fn wrong(&mut self, span: Range<usize>, message: &str) {
        self.push("pins-malformed", span, message);
    }

    fn push(&mut self, rule: &'static str, span: Range<usize>, message: &str) {
        let place = self.source.place(span);
        let message = format!("{PINS_ENV}: {message}");
        let known =
            |known: &Finding| known.message == message && known.place.as_ref() == Some(&place);
        if !self.findings.iter().any(known) {
            self.findings.push(Finding::error(rule, place, message));
        }
    }
}

/// How the names of pins are made.
const NAMES: &str =
    "expected TOOL_VERSION, TOOL_URL_AMD64, TOOL_SHA256_AMD64, and the same for ARM64";

/// The tool that `name` is about: `yq` for `YQ_VERSION` and `YQ_URL_AMD64`.
fn tool_of(name: &str) -> Option<String> {
    let tool = name.strip_suffix("_VERSION").or_else(|| {
        let of_architecture = |architecture: &str| {
            let rest = name.strip_suffix(&architecture.to_ascii_uppercase())?;
            rest.strip_suffix("_URL_")
                .or_else(|| rest.strip_suffix("_SHA256_"))
        };
        ARCHITECTURES.into_iter().find_map(of_architecture)
    })?;
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (!tool.is_empty() && tool.chars().all(upper)).then(|| tool.to_ascii_lowercase())
}

/// The pins that the script in `text` reads: `${PIN[NAME]}`, and `${PIN[NAME_$ARCH]}` for each architecture.
fn used(text: &str) -> BTreeSet<String> {
    let names = text.split("{PIN[").skip(1);
    let names = names.filter_map(|rest| Some(rest.split_once(']')?.0));
    names
        .filter(|name| !name.starts_with('$') && !name.contains(['@', '*']))
        .flat_map(|name| match name.strip_suffix("$ARCH") {
            Some(stem) => ARCHITECTURES
                .map(|architecture| stem.to_owned() + &architecture.to_ascii_uppercase())
                .to_vec(),
            None => vec![name.to_owned()],
        })
        .collect()
}

/// Whether `url` names `version`, and no other one: a release URL names it in its path and often
/// again in the file's name.
fn names_version(url: &str, version: &str) -> bool {
    let path = url.splitn(4, '/').nth(3).unwrap_or("");
    let number = version.trim_start_matches('v');
    let mut named = path
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|part| part.trim_matches('.'))
        .filter(|part| part.contains('.'));
    path.contains(version) && named.all(|part| part == number)
}

fn is_https(value: &str) -> bool {
    value
        .strip_prefix("https://")
        .is_some_and(|rest| rest.contains('.') && !rest.contains('@'))
}

fn is_suite(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_lowercase())
}

fn is_fingerprint(value: &str) -> bool {
    value.len() == 40 && value.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F'))
}

#[cfg(test)]
mod tests;
