//! The strict reader of contracts: unknown keys, invalid values and facts without a source are findings.

mod publisher;
mod values;

use std::path::Path;

use polis_base::ImageRef;

use super::{Account, Contract, DIR, Fact};
use crate::yaml::{self, Node};
use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::source::{Place, Source};
use xtask_host::write;

/// The rule of every finding in a contract.
const RULE: &str = "contract-malformed";

/// The sections of facts: maps from a source to the facts that it states.
const SECTIONS: [&str; 11] = [
    "platforms",
    "user",
    "entrypoint",
    "command",
    "programs",
    "without",
    "paths",
    "environment",
    "users",
    "digests",
    "signature",
];

/// Reads the contracts of the tree at `root`, in the order of their names. Returns the valid ones, and the findings.
///
/// # Errors
/// If the directory or a file cannot be read.
pub fn read(root: &Path) -> Result<(Vec<Contract>, Vec<Finding>)> {
    let mut paths = Vec::new();
    write::files_below(root, DIR, &mut paths)?;
    paths.sort();
    let (mut contracts, mut findings) = (Vec::new(), Vec::new());
    for path in paths.iter().filter(|path| path.ends_with(".yaml")) {
        match Contract::parse(Source::read(root, path)?) {
            Ok(contract) => contracts.push(contract),
            Err(more) => findings.extend(more),
        }
    }
    Ok((contracts, findings))
}

/// The contracts of the tree at `root`.
///
/// # Errors
/// If one cannot be read or is malformed; the error shows the places.
pub fn load(root: &Path) -> Result<Vec<Contract>> {
    match read(root)? {
        (contracts, findings) if findings.is_empty() => Ok(contracts),
        (_, findings) => Err(Error::in_file(DIR, findings)),
    }
}

impl Contract {
    /// Parses a contract.
    ///
    /// # Errors
    /// One finding for each unknown key, invalid value and fact without a source.
    pub fn parse(source: Source) -> std::result::Result<Self, Vec<Finding>> {
        let root = yaml::parse(&source).map_err(|finding| vec![*finding])?;
        let mut reader = Reader {
            source: &source,
            sources: Vec::new(),
            used: Vec::new(),
            findings: Vec::new(),
        };
        let contract = reader.contract(&root);
        reader.unused(&root);
        let Reader { findings, .. } = reader;
        match contract {
            Some(contract) if findings.is_empty() => Ok(Contract { source, ..contract }),
            _ => Err(findings),
        }
    }
}

struct Reader<'a> {
    source: &'a Source,
    sources: Vec<(String, String)>,
    used: Vec<String>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn contract(&mut self, root: &Node) -> Option<Contract> {
        for (key, _) in root.entries() {
            let name = key.text().unwrap_or_default();
            if !SECTIONS.contains(&name) && !matches!(name, "image" | "sources") {
                self.wrong(key, format!("unknown key `{name}` in a contract"));
            }
        }
        self.sources(root);
        let image = self.image(root);
        let platforms = self.listed(root, "platforms", Self::platform);
        if platforms.is_empty() {
            self.wrong(root, "expected `platforms` with at least one platform");
        }
        let programs = self.listed(root, "programs", Self::program);
        let without = self.listed(root, "without", Self::bare_name);
        let image = image?;
        let contract = Contract {
            source: Source {
                path: self.source.path.clone(),
                text: String::new(),
            },
            image: image.0,
            place: image.1,
            user: self.single(root, "user", Self::uid),
            entrypoint: self.single(root, "entrypoint", Self::words),
            command: self.single(root, "command", Self::words),
            paths: self.listed(root, "paths", Self::path),
            environment: self.listed(root, "environment", Self::variable),
            users: self.accounts(root),
            digests: self.single(root, "digests", Self::digest_list),
            signature: self.single(root, "signature", Self::signature),
            sources: self.sources.clone(),
            platforms,
            programs,
            without,
        };
        self.judge(&contract);
        Some(contract)
    }

    /// Reports duplicates, contradictions, and readers that the contract does not list.
    fn judge(&mut self, contract: &Contract) {
        self.twice(&contract.platforms, String::as_str);
        self.twice(&contract.programs, String::as_str);
        self.twice(&contract.without, String::as_str);
        self.twice(&contract.paths, |path| &path.path);
        self.twice(&contract.environment, |variable| &variable.name);
        self.twice(&contract.users, |account| &account.name);
        for fact in &contract.without {
            if contract.has_program(&fact.value) {
                let message = format!("`{}` is both in `programs` and in `without`", fact.value);
                self.findings
                    .push(Finding::error(RULE, fact.place.clone(), message));
            }
        }
        let paths = contract.paths.iter();
        let read = paths.filter_map(|fact| Some((fact.value.read_by.as_deref()?, &fact.place)));
        let environment = contract.environment.iter();
        let environment = environment.map(|fact| (fact.value.read_by.as_str(), &fact.place));
        for (reader, place) in read.chain(environment) {
            if !contract.has_program(reader) && contract.path(reader).is_none() {
                let message = format!("`{reader}` reads this, but is not in `programs` or `paths`");
                let finding = Finding::error(RULE, place.clone(), message);
                self.findings.push(
                    finding
                        .help("add it there: a program that reads something is part of the image"),
                );
            }
        }
    }

    fn twice<T>(&mut self, facts: &[Fact<T>], name: impl Fn(&T) -> &str) {
        for (at, fact) in facts.iter().enumerate() {
            let known = facts[..at]
                .iter()
                .any(|known| name(&known.value) == name(&fact.value));
            if known {
                let message = format!("`{}` is listed twice", name(&fact.value));
                self.findings
                    .push(Finding::error(RULE, fact.place.clone(), message));
            }
        }
    }

    fn sources(&mut self, root: &Node) {
        let Some((key, node)) = root.entry("sources") else {
            return self.wrong(root, "expected `sources`, a map from names to descriptions");
        };
        if node.entries().is_empty() {
            self.wrong(key, "expected a map from names to descriptions");
        }
        for (name, what) in node.entries() {
            match (name.text(), what.text()) {
                (Some(name), Some(what)) if !what.trim().is_empty() => {
                    self.sources.push((name.to_owned(), what.trim().to_owned()));
                }
                _ => self.wrong(name, "expected a name and its description"),
            }
        }
    }

    fn unused(&mut self, root: &Node) {
        for (name, _) in root.get("sources").map_or(&[][..], Node::entries) {
            let text = name.text().unwrap_or_default();
            if !self.used.iter().any(|used| used == text) {
                self.wrong(name, format!("no fact comes from the source `{text}`"));
            }
        }
    }

    fn image(&mut self, root: &Node) -> Option<(String, Place)> {
        let Some((key, node)) = root.entry("image") else {
            self.wrong(
                root,
                "expected `image`, a repository such as `ghcr.io/owner/name`",
            );
            return None;
        };
        let text = node.text().unwrap_or_default();
        // A reference needs a tag, so a repository is what becomes one when a tag is added.
        match format!("{text}:tag").parse::<ImageRef>() {
            Ok(image) if image.name() == text => {
                Some((image.name(), self.source.place(node.span.clone())))
            }
            _ => {
                let message =
                    "expected a repository without tag and digest, such as `ghcr.io/owner/name`";
                self.wrong(key, message);
                None
            }
        }
    }

    /// The entries of a section: a source, and the facts that it states.
    fn parts<'n>(&mut self, root: &'n Node, section: &str) -> Vec<(String, &'n Node)> {
        let Some((key, node)) = root.entry(section) else {
            return Vec::new();
        };
        if node.entries().is_empty() {
            self.wrong(
                key,
                format!("expected `{section}` to be a map from sources to facts"),
            );
        }
        let mut parts = Vec::new();
        for (name, told) in node.entries() {
            let text = name.text().unwrap_or_default();
            if !self.sources.iter().any(|(known, _)| known == text) {
                self.wrong(name, format!("`{text}` is not defined in `sources`"));
            }
            self.used.push(text.to_owned());
            parts.push((text.to_owned(), told));
        }
        parts
    }

    /// The facts of a section in which each source has a list.
    fn listed<T>(
        &mut self,
        root: &Node,
        section: &str,
        item: impl Fn(&mut Self, &Node) -> Option<T>,
    ) -> Vec<Fact<T>> {
        let mut facts = Vec::new();
        for (from, told) in self.parts(root, section) {
            if told.items().is_empty() {
                self.wrong(told, format!("expected a list in `{section}`"));
            }
            for node in told.items() {
                let value = item(self, node);
                facts.extend(value.map(|value| self.fact(value, &from, node)));
            }
        }
        facts
    }

    /// The fact of a section with exactly one source.
    fn single<T>(
        &mut self,
        root: &Node,
        section: &str,
        read: impl Fn(&mut Self, &Node) -> Option<T>,
    ) -> Option<Fact<T>> {
        let parts = self.parts(root, section);
        if let [_, (_, second), ..] = parts.as_slice() {
            self.wrong(second, format!("expected one source for `{section}`"));
        }
        let (from, node) = parts.first()?;
        let value = read(self, node);
        value.map(|value| self.fact(value, from, node))
    }

    fn accounts(&mut self, root: &Node) -> Vec<Fact<Account>> {
        let mut facts = Vec::new();
        for (from, told) in self.parts(root, "users") {
            if told.entries().is_empty() {
                self.wrong(told, "expected a map from names to uids in `users`");
            }
            for (name, uid) in told.entries() {
                let (Some(text), Some(uid)) = (name.text(), self.uid(uid)) else {
                    continue;
                };
                let name_of = Account {
                    name: text.to_owned(),
                    uid,
                };
                facts.push(self.fact(name_of, &from, name));
            }
        }
        facts
    }

    fn fact<T>(&self, value: T, from: &str, node: &Node) -> Fact<T> {
        Fact {
            value,
            from: from.to_owned(),
            place: self.source.place(node.span.clone()),
        }
    }

    fn keys(&mut self, node: &Node, known: &[&str]) {
        for (key, _) in node.entries() {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name) {
                self.wrong(
                    key,
                    format!("unknown key `{name}`: expected {}", known.join(", ")),
                );
            }
        }
    }

    fn expect<T>(&mut self, value: Option<T>, node: &Node, what: &str) -> Option<T> {
        if value.is_none() {
            self.wrong(node, format!("expected {what}"));
        }
        value
    }

    fn wrong(&mut self, node: &Node, message: impl Into<String>) {
        let place = self.source.place(node.span.clone());
        self.findings.push(Finding::error(RULE, place, message));
    }
}
