//! `/etc/polis/pins.env`: what the VM downloads, and the checksums it must have.
//!
//! One `write_files` entry of the cloud-init file is the only list of downloads. The provisioning script of the same
//! file must read each of its names, as `${PIN[NAME]}`, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use polis_base::Digest;

use crate::edit::Location;
use crate::yaml::Node;
use xtask_host::finding::Finding;
use xtask_host::source::{Place, Source};

/// The path of the cloud-init file in the tree.
pub const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";
/// The path of the entry in the VM.
pub const PINS_ENV: &str = "/etc/polis/pins.env";

/// The architectures of a release, by their names in Debian and OCI.
pub const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// The names of Docker's package repository.
const REPOSITORY: [&str; 4] = [
    "DOCKER_KEY_URL",
    "DOCKER_KEY_FINGERPRINT",
    "DOCKER_REPO_URL",
    "DOCKER_REPO_SUITE",
];

/// The content of `pins.env`.
#[derive(Debug, Clone)]
pub struct Pins {
    /// The URL of Docker's package signing key.
    pub docker_key_url: String,
    /// The fingerprint of its only primary key.
    pub docker_key_fingerprint: String,
    /// The places of the key's URL and fingerprint, and of the URL of the repository that it signs.
    pub key_at: KeyLocations,
    /// The files, each with its checksum.
    pub downloads: Vec<GuestDownload>,
}

/// The places of the values about the key.
#[derive(Debug, Clone)]
pub struct KeyLocations {
    /// `DOCKER_KEY_URL`.
    pub url: Location,
    /// `DOCKER_KEY_FINGERPRINT`.
    pub fingerprint: Location,
    /// `DOCKER_REPO_URL`.
    pub repository: Location,
}

/// A file that the VM downloads.
#[derive(Debug, Clone)]
pub struct GuestDownload {
    /// As in `yq`, whose names start with `YQ_`.
    pub tool: String,
    /// The pinned version.
    pub version: String,
    /// `amd64` or `arm64`.
    pub architecture: &'static str,
    /// Its URL.
    pub url: String,
    /// Its pinned checksum.
    pub sha256: Digest,
    /// The place of the checksum.
    pub place: Place,
    /// The places of version, URL and checksum.
    pub at: DownloadLocations,
}

/// The places of the values about a download.
#[derive(Debug, Clone)]
pub struct DownloadLocations {
    /// `TOOL_VERSION`, one for all architectures.
    pub version: Location,
    /// `TOOL_URL_ARCHITECTURE`.
    pub url: Location,
    /// `TOOL_SHA256_ARCHITECTURE`.
    pub sha256: Location,
}

/// One line `NAME=value`, with the span of its value.
struct Line<'a> {
    value: &'a str,
    span: Range<usize>,
}

/// Reads the pins out of the parsed cloud-init file.
///
/// # Errors
/// One finding for each missing entry, unknown, duplicate or missing name, and malformed value.
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
            .help("list every download of the VM there, and only there"),
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
    /// The names that the script reads.
    used: BTreeSet<String>,
    lines: BTreeMap<&'a str, Line<'a>>,
    findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    /// Reads the lines from the source, which a literal block holds verbatim.
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
                    "invalid value: expected plain text without quotes, blanks or expansions",
                );
            } else if !REPOSITORY.contains(&name) && tool_of(name).is_none() {
                self.wrong(span, &format!("`{name}` does not name a pin: {NAMES}"));
            } else if !self.is_read(name) {
                let message = format!("the provisioning script does not read `{name}`");
                self.wrong(span, &message);
            } else if self.lines.contains_key(name) {
                self.wrong(span, &format!("`{name}` is defined twice"));
            } else {
                let span = span.start + name.len() + 1..span.end;
                self.lines.insert(name, Line { value, span });
            }
        }
        if content.text().is_none() {
            self.wrong(self.block.clone(), "the content is not plain text");
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
            "the code name of an Ubuntu release",
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
            let message = "the URL of the key is not below the URL of the repository that it signs";
            self.wrong(key_at.span.clone(), message);
            self.wrong(repository_at.span.clone(), message);
        }
        Some(Pins {
            docker_key_url: key,
            docker_key_fingerprint: fingerprint,
            key_at: KeyLocations {
                url: key_at,
                fingerprint: fingerprint_at,
                repository: repository_at,
            },
            downloads,
        })
    }

    /// Whether the script reads `name`. A version counts as read if any other name of its tool is: it exists for
    /// `update`, and for the comparison with the URLs.
    fn is_read(&self, name: &str) -> bool {
        let tool = tool_of(name).filter(|_| name.ends_with("_VERSION"));
        let of_tool = |used: &String| tool.is_some() && tool_of(used) == tool;
        self.used.contains(name) || self.used.iter().any(of_tool)
    }

    /// The tools of all names in the file and in the script. Adds a finding for each other name that the script reads.
    fn tools(&mut self) -> BTreeSet<String> {
        let used: Vec<_> = self.used.iter().cloned().collect();
        for name in used {
            if tool_of(&name).is_none() && !REPOSITORY.contains(&name.as_str()) {
                let message =
                    format!("the script reads `{name}`, which does not name a pin: {NAMES}");
                self.wrong(self.block.start..self.block.start, &message);
            }
        }
        let names = self.lines.keys().copied();
        let names = names.chain(self.used.iter().map(String::as_str));
        names.filter_map(tool_of).collect()
    }

    fn download(&mut self, tool: &str, architecture: &'static str) -> Option<GuestDownload> {
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
            let message = format!("the URL does not contain its architecture, `{architecture}`");
            self.wrong(url_at.span.clone(), &message);
        }
        Some(GuestDownload {
            tool: tool.to_owned(),
            version,
            architecture,
            url,
            sha256: Digest::from_hex(&sha256).ok()?,
            place: sha256_at.place.clone(),
            at: DownloadLocations {
                version: version_at,
                url: url_at,
                sha256: sha256_at,
            },
        })
    }

    /// Requires that the two URLs of a tool differ in the architecture alone, and contain the pinned version and no
    /// other.
    fn agree(&mut self, one: &GuestDownload, other: &GuestDownload) {
        let neutral = |download: &GuestDownload| download.url.replace(download.architecture, "*");
        if neutral(one) != neutral(other) {
            for (this, that) in [(one, other), (other, one)] {
                let message = format!(
                    "the URL differs from the one for {} in more than the architecture",
                    that.architecture
                );
                self.wrong(this.at.url.span.clone(), &message);
            }
        }
        let names = |download: &GuestDownload| names_version(&download.url, &download.version);
        let (tool, version) = (&one.tool, &one.version);
        match [names(one), names(other)] {
            [true, true] => {}
            // The version was changed alone: one cause, one finding.
            [false, false] => {
                let message = format!("neither URL of `{tool}` is for version `{version}`");
                let help = format!(
                    "restore the version, then run `cargo xtask update {tool} {version}`: it changes version, URLs and checksums together"
                );
                self.wrong_with(one.at.version.span.clone(), &message, help);
            }
            right => {
                let wrong = if right[0] { other } else { one };
                let message = format!("the URL is not for the pinned version `{version}`");
                self.wrong(wrong.at.url.span.clone(), &message);
            }
        }
        if one.sha256 == other.sha256 {
            let message = "both architectures have the same checksum";
            self.wrong(other.at.sha256.span.clone(), message);
        }
    }

    /// The value of `name`. Adds a finding if it is missing or `is` rejects it.
    fn checked(
        &mut self,
        name: &str,
        is: impl Fn(&str) -> bool,
        expected: &str,
    ) -> Option<(String, Location)> {
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
                let (span, found) = (line.span.clone(), line.value.chars().count());
                let message =
                    format!("invalid `{name}`: expected {expected}, found {found} characters");
                match self.how_to_hash(name) {
                    Some(help) => self.wrong_with(span, &message, help),
                    None => self.wrong(span, &message),
                }
                None
            }
            Some(line) => Some((
                line.value.to_owned(),
                Location::new(self.source, line.span.clone()),
            )),
        }
    }

    /// How to compute the checksum `name`, from the URL beside it.
    fn how_to_hash(&self, name: &str) -> Option<String> {
        let url = self.lines.get(&*name.replace("_SHA256_", "_URL_"))?.value;
        let hashed = name.contains("_SHA256_") && is_https(url);
        hashed.then(|| format!("compute it with `curl -fsSL {url} | sha256sum`"))
    }

    fn wrong(&mut self, span: Range<usize>, message: &str) {
        self.push("pins-malformed", span, message);
    }

    fn wrong_with(&mut self, span: Range<usize>, message: &str, help: String) {
        let before = self.findings.len();
        self.wrong(span, message);
        for finding in &mut self.findings[before..] {
            finding.help = Some(help.clone());
        }
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

/// The names that are allowed, for messages.
const NAMES: &str =
    "expected TOOL_VERSION, TOOL_URL_AMD64, TOOL_SHA256_AMD64, and the same for ARM64";

/// The tool in `name`: `yq` for `YQ_VERSION` and `YQ_URL_AMD64`.
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

/// The names that the script in `text` reads: `${PIN[NAME]}`, and `${PIN[NAME_$ARCH]}` for each architecture.
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

/// Whether `url` contains `version` and no other one. A release URL has it in its path, and often again in the file
/// name.
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
