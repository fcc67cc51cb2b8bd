//! What the services of the stack may have, held against one table.
//!
//! A list of forbidden keys is never complete: Compose gains keys with each version. So the table lists what is
//! allowed, and everything else is an offence. [`judge`] is pure and takes any parsed Compose document, also the one
//! that `docker compose config` makes of several files.

mod facts;
mod keys;
mod table;

use std::ops::Range;

use xtask_pins::yaml::{Node, Value};

use facts::{Fact, Reader, key_of, scalar};
use table::Row;

pub use keys::FREE;

/// Where the table stands, for whoever has to change it.
pub const TABLE: &str = "xtask/check/src/sandbox/table.rs";

/// Where the stack is at home in the virtual machine.
pub const HOME: &str = "/opt/polis";

/// The name of the stack, by which Docker finds its volumes again.
const PROJECT: &str = "polis";

/// Something that the table does not allow, or that it demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// `sandbox`, or `sandbox-missing` for what the table demands.
    pub rule: &'static str,
    /// The bytes of the document.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What is allowed, and why no more is.
    pub help: String,
}

/// The services, networks, volumes or secrets.
struct Section {
    key: &'static str,
    /// What one of them is called.
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

/// Everything in `document` that the table does not allow. `home` is the directory that its relative paths start
/// from.
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
                    "name" => format!("the stack may not have the name `{}`", scalar(value)),
                    _ => format!("`{name}` is not allowed at the top of the file"),
                },
                help: format!("allowed are `name: {PROJECT}`, services, networks, volumes, secrets and extension fields"),
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
                    message: format!("the table of the sandbox knows no {} `{text}`", self.one),
                    help: format!("say in {TABLE} what it may have"),
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

    /// A key that no line of the row has.
    fn unknown(&self, row: &Row, text: &str, key: &Node) -> Offence {
        let reason = keys::REASONS.iter().find(|(of, _)| *of == text);
        let reason = reason.map_or(String::new(), |(_, reason)| format!("{reason}; "));
        Offence {
            rule: "sandbox",
            span: key.span.clone(),
            message: format!("{} `{}` may not have `{text}`", self.one, row.name),
            help: format!("{reason}what it may have is in {TABLE}"),
        }
    }

    /// A value that no line of the row has.
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

    /// What the row demands and nothing says.
    fn missing(&self, row: &Row, name: &Node, facts: &[Fact]) -> Vec<Offence> {
        let offence = |message: String, help: String| Offence {
            rule: "sandbox-missing",
            span: name.span.clone(),
            message,
            help,
        };
        let says = |line: &str| facts.iter().any(|fact| matches(line, &fact.text));
        // Another value in its place is an offence already.
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
                    format!("without it, it could do more than {TABLE} allows"),
                )
            })
            .collect();
        let is_placed = facts
            .iter()
            .any(|fact| ["networks", "network_mode"].contains(&fact.key()));
        if self.one == "service" && !is_placed {
            let message = format!("service `{}` names no network", row.name);
            let help = "Compose would put it on a network of its own, which leads to the internet";
            offences.push(offence(message, help.to_owned()));
        }
        offences
    }
}

impl Row {
    fn lines(&self) -> impl Iterator<Item = &'static str> {
        self.musts()
            .chain(self.kind.may.iter().chain(self.may).copied())
    }

    fn musts(&self) -> impl Iterator<Item = &'static str> {
        self.kind.must.iter().chain(self.must).copied()
    }

    fn allows(&self, fact: &Fact) -> bool {
        self.lines()
            .any(|line| matches(&self.named(line), &fact.text))
    }

    fn named(&self, line: &str) -> String {
        line.replace("{name}", self.name)
    }
}

/// What a fact is about: all of it up to a `=`, or its key.
fn subject(text: &str) -> &str {
    text.split_once('=')
        .map_or(key_of(text), |(subject, _)| subject)
}

/// Whether the line of the table says what the fact says.
fn matches(line: &str, fact: &str) -> bool {
    match line.strip_suffix('*') {
        Some(start) => fact
            .strip_prefix(start)
            .is_some_and(|rest| !rest.contains('$')),
        None => line == fact,
    }
}
