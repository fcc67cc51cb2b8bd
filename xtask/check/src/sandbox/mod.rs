//! Compares the services, networks, volumes and secrets of the stack with a table of what they may have.
//!
//! The table is an allowlist: each version of Compose adds keys, so a list of forbidden ones would never be complete.
//! [`judge`] takes any parsed Compose document, also the merged output of `docker compose config`.

mod facts;
mod keys;
mod table;

use std::ops::Range;

use xtask_pins::yaml::{Node, Value};

use facts::{Fact, Reader, key_of, scalar};
use table::Row;

pub use keys::FREE;

/// The file of the table, for messages.
pub const TABLE: &str = "xtask/check/src/sandbox/table.rs";

/// The directory of the stack in the VM.
pub const HOME: &str = "/opt/polis";

/// The name of the stack, which is part of the names of its volumes.
const PROJECT: &str = "polis";

/// A violation of the table or of another rule on the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The rule. For the table `sandbox`, or `sandbox-missing` for a required line.
    pub rule: &'static str,
    /// Its bytes in the document.
    pub span: Range<usize>,
    /// The problem.
    pub message: String,
    /// The next step, or what is allowed.
    pub help: String,
}

/// A section of the compose file with its rows.
struct Section {
    key: &'static str,
    /// The word for one member.
    one: &'static str,
    rows: &'static [Row],
    free: &'static [(&'static str, &'static str)],
}

const SECTIONS: [Section; 4] = [
    Section {
        key: "services",
        one: "service",
        rows: table::SERVICES,
        free: FREE,
    },
    Section {
        key: "networks",
        one: "network",
        rows: table::NETWORKS,
        free: &[],
    },
    Section {
        key: "volumes",
        one: "volume",
        rows: table::VOLUMES,
        free: &[],
    },
    Section {
        key: "secrets",
        one: "secret",
        rows: table::SECRETS,
        free: &[],
    },
];

/// The offences of `document`. `home` is the base of its relative paths.
pub fn judge(document: &Node, home: &str) -> Vec<Offence> {
    let reader = Reader { home };
    let mut offences = Vec::new();
    for (key, value) in document.entries() {
        let name = scalar(key);
        let is_nothing = name.starts_with("x-") || matches!(value.value, Value::Null);
        let section = SECTIONS.iter().find(|section| section.key == name);
        match section {
            _ if is_nothing => {}
            Some(section) => offences.extend(section.judge(value, reader)),
            None if name == "name" && value.text() == Some(PROJECT) => {}
            None => offences.push(Offence {
                rule: "sandbox",
                span: key.span.clone(),
                message: match name.as_str() {
                    "name" => format!("the stack is named `{}`: expected `{PROJECT}`", scalar(value)),
                    _ => format!("`{name}` is not allowed at the top level"),
                },
                help: format!("allowed: `name: {PROJECT}`, services, networks, volumes, secrets and extension fields"),
            }),
        }
    }
    offences
}

impl Section {
    fn judge(&self, members: &Node, reader: Reader<'_>) -> Vec<Offence> {
        let judged = members.entries().iter().flat_map(|(name, member)| {
            let text = scalar(name);
            match self.rows.iter().find(|row| matches(row.name, &text)) {
                Some(row) => self.member(row, name, member, reader),
                None => vec![Offence {
                    rule: "sandbox",
                    span: name.span.clone(),
                    message: format!("the table of the sandbox has no {} `{text}`", self.one),
                    help: format!("add a row to {TABLE} with what it may have"),
                }],
            }
        });
        judged.collect()
    }

    fn member(&self, row: &Row, name: &Node, member: &Node, reader: Reader<'_>) -> Vec<Offence> {
        let mut facts = Vec::new();
        let mut offences = Vec::new();
        for (key, value) in member.entries() {
            let text = scalar(key);
            if self.free.iter().any(|(free, _)| *free == text) {
                continue;
            }
            let found = reader.facts(key, value);
            if row.lines().any(|line| key_of(line) == text) {
                let wrong = found.iter().filter(|fact| !row.allows(fact));
                offences.extend(wrong.map(|fact| self.value(row, fact)));
            } else if !found.is_empty() {
                offences.push(self.unknown(row, &text, key));
            }
            facts.extend(found);
        }
        offences.extend(self.missing(row, name, &facts));
        offences
    }

    /// The offence of a key that no line of the row allows.
    fn unknown(&self, row: &Row, text: &str, key: &Node) -> Offence {
        let reason = keys::REASONS.iter().find(|(of, _)| *of == text);
        let reason = reason.map_or(String::new(), |(_, reason)| format!("{reason}; "));
        Offence {
            rule: "sandbox",
            span: key.span.clone(),
            message: format!("{} `{}` may not have `{text}`", self.one, row.name),
            help: format!("{reason}{TABLE} lists what it may have"),
        }
    }

    /// The offence of a value that no line of the row allows.
    fn value(&self, row: &Row, fact: &Fact) -> Offence {
        let shown = |text: &str| {
            text.split_once(' ')
                .map_or_else(String::new, |(_, value)| value.to_owned())
        };
        let key = fact.key();
        let allowed = row
            .lines()
            .filter(|line| key_of(line) == key)
            .map(|line| row.named(line));
        let allowed: Vec<String> = allowed.map(|line| format!("`{}`", shown(&line))).collect();
        Offence {
            rule: "sandbox",
            span: fact.span.clone(),
            message: format!(
                "{} `{}` may not have `{key}: {}`",
                self.one,
                row.name,
                shown(&fact.text)
            ),
            help: format!("allowed: {} (the table is {TABLE})", allowed.join(", ")),
        }
    }

    /// The required lines of the row that no fact matches.
    fn missing(&self, row: &Row, name: &Node, facts: &[Fact]) -> Vec<Offence> {
        let offence = |message: String, help: String| Offence {
            rule: "sandbox-missing",
            span: name.span.clone(),
            message,
            help,
        };
        let says = |line: &str| facts.iter().any(|fact| matches(line, &fact.text));
        // A wrong value has its own finding.
        let is_told = |line: &str| {
            let mut alike = facts
                .iter()
                .filter(|fact| subject(&fact.text) == subject(line));
            alike.any(|fact| !row.allows(fact))
        };
        let absent = row.musts().filter(|line| !says(line) && !is_told(line));
        let mut offences: Vec<Offence> = absent
            .map(|line| {
                let (key, value) = line.split_once(' ').unwrap_or((line, ""));
                let message = format!("{} `{}` lacks `{key}: {value}`", self.one, row.name);
                offence(
                    message,
                    format!(
                        "add it: without it, the {} could do more than {TABLE} allows",
                        self.one
                    ),
                )
            })
            .collect();
        let is_placed = facts
            .iter()
            .any(|fact| ["networks", "network_mode"].contains(&fact.key()));
        if self.one == "service" && !is_placed {
            let message = format!("service `{}` has no `networks`", row.name);
            let help = "list its networks: Compose's default network has access to the internet";
            offences.push(offence(message, help.to_owned()));
        }
        offences
    }
}

impl Row {
    fn lines(&self) -> impl Iterator<Item = &'static str> {
        self.musts()
            .chain(self.common.may.iter().chain(self.may).copied())
    }

    fn musts(&self) -> impl Iterator<Item = &'static str> {
        self.common.must.iter().chain(self.must).copied()
    }

    fn allows(&self, fact: &Fact) -> bool {
        self.lines()
            .any(|line| matches(&self.named(line), &fact.text))
    }

    fn named(&self, line: &str) -> String {
        line.replace("{name}", self.name)
    }
}

/// The subject of a fact: the text before `=`, or its key.
fn subject(text: &str) -> &str {
    text.split_once('=')
        .map_or(key_of(text), |(subject, _)| subject)
}

/// Whether the line of the table matches the fact.
fn matches(line: &str, fact: &str) -> bool {
    match line.strip_suffix('*') {
        Some(start) => fact
            .strip_prefix(start)
            .is_some_and(|rest| !rest.contains('$')),
        None => line == fact,
    }
}
