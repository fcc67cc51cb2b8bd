//! Services without the settings that most services merge in: one finding with the missing line, instead of one for
//! each setting.

use xtask_host::finding::Finding;
use xtask_pins::compose::Compose;
use xtask_pins::yaml::{Node, Value};

use super::service;
use crate::sandbox;

/// How many offences a line must fix to be proposed.
const ENOUGH: usize = 3;

/// The document with the missing merge keys added, and a finding for each of them.
pub(super) fn complete(compose: &Compose) -> (Node, Vec<Finding>) {
    let mut root = compose.root.clone();
    let mut findings = Vec::new();
    let shared = anchored(compose);
    let inits = service::inits(compose.services());
    let Value::Map(sections) = &mut root.value else {
        return (root, findings);
    };
    let services = sections
        .iter_mut()
        .find(|(key, _)| key.text() == Some("services"));
    let Some((
        key,
        Node {
            value: Value::Map(services),
            ..
        },
    )) = services
    else {
        return (root, findings);
    };
    for (name, service) in services {
        let count = |service: &Node| offences(key, name, service);
        let before = count(service);
        if before < ENOUGH {
            continue;
        }
        let is_init = name.text().is_some_and(|name| inits.contains(name));
        let fitting = shared.iter().filter(|(_, settings)| {
            let restart = settings.get("restart").and_then(Node::text);
            (restart == Some("no")) == is_init
        });
        let merged = fitting.map(|(anchor, settings)| {
            let merged = merge(service, settings);
            (count(&merged), *anchor, *settings, merged)
        });
        let best = merged.min_by_key(|(after, ..)| *after);
        if let Some((after, anchor, settings, merged)) = best
            && after + ENOUGH <= before
        {
            findings.push(missing(compose, name, service, anchor, settings));
            *service = merged;
        }
    }
    (root, findings)
}

/// The extension fields of the form `x-name: &anchor` that hold a mapping.
fn anchored(compose: &Compose) -> Vec<(&str, &Node)> {
    let fields = compose.root.entries().iter();
    let fields = fields.filter(|(key, _)| key.text().is_some_and(|key| key.starts_with("x-")));
    fields
        .filter_map(|(key, value)| {
            let after = compose.source.text[key.span.end..].strip_prefix(':')?;
            let anchor = after.trim_start_matches(' ').strip_prefix('&')?;
            let name = anchor.split_whitespace().next()?;
            matches!(value.value, Value::Map(_)).then_some((name, value))
        })
        .collect()
}

/// `service` with the settings that it does not have itself, as `<<` adds them.
fn merge(service: &Node, settings: &Node) -> Node {
    let own = service.entries().iter();
    let shared = settings.entries().iter();
    let shared = shared.filter(|(key, _)| key.text().is_none_or(|key| service.get(key).is_none()));
    Node {
        value: Value::Map(own.chain(shared).cloned().collect()),
        span: service.span.clone(),
    }
}

/// The number of offences of one service, in a document that has no other.
fn offences(key: &Node, name: &Node, service: &Node) -> usize {
    let map = |key: &Node, value: Node| Node {
        span: value.span.clone(),
        value: Value::Map(vec![(key.clone(), value)]),
    };
    let document = map(key, map(name, service.clone()));
    service::judge(&document).len() + sandbox::judge(&document, sandbox::HOME).len()
}

fn missing(
    compose: &Compose,
    name: &Node,
    service: &Node,
    anchor: &str,
    settings: &Node,
) -> Finding {
    let keys = settings.entries().iter().filter_map(|(key, _)| key.text());
    let keys: Vec<String> = keys
        .filter(|key| service.get(key).is_none())
        .map(|key| format!("`{key}`"))
        .collect();
    let name_of = name.text().unwrap_or_default();
    let message = format!("service `{name_of}` lacks {}", keys.join(", "));
    Finding::error("shared-settings", compose.place(name.span.clone()), message)
        .help(format!("write `<<: *{anchor}` as its first line"))
}
