//! Our rules on the compose file: every container is hardened, limited and kept running, and has only what the table of
//! [`crate::sandbox`] allows.

mod paths;
mod service;
mod shared;

use xtask_host::finding::Finding;
use xtask_pins::compose::{Compose, from_root};
use xtask_pins::yaml::{self, Node, Value};

use crate::sandbox;

/// Judges the stack. `exists` takes paths relative to the root of the tree.
pub fn check(compose: &Compose, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let (root, mut findings) = shared::complete(compose);
    let offences = service::judge(&root).into_iter();
    findings.extend(offences.map(|offence| finding(compose, offence)));
    findings.extend(paths::check(compose, exists));
    findings.extend(forbidden(compose, &compose.root));
    let offences = sandbox::judge(&root, sandbox::HOME).into_iter();
    findings.extend(offences.map(|offence| finding(compose, offence)));
    findings.extend(tags(compose));
    findings
}

fn finding(compose: &Compose, offence: sandbox::Offence) -> Finding {
    let place = compose.place(offence.span);
    Finding::error(offence.rule, place, offence.message).help(offence.help)
}

/// Files that Compose reads instead of ours or on top of it, without an option.
pub fn beside(compose: &Compose, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let path = &compose.source.path;
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let found = BESIDE
        .iter()
        .map(|name| from_root(dir, name))
        .filter(|path| exists(path));
    found
        .map(|found| {
            let message = format!("Compose would also read `{found}`");
            Finding::error("compose-beside", compose.place(0..0), message).help(
                "delete it: the stack is one file, and `polis start --agent` adds what an agent needs",
            )
        })
        .collect()
}

/// The names that Compose looks for beside our file. `.env` may set `COMPOSE_FILE`.
const BESIDE: [&str; 8] = [
    ".env",
    "compose.yaml",
    "compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.yaml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// `!reset` and `!override` change the value of the node that they tag. No reader of ours follows them.
fn tags(compose: &Compose) -> Vec<Finding> {
    let beyond = yaml::beyond_plain(&compose.source).into_iter();
    let tags = beyond.filter(|(_, what)| *what == "a tag");
    tags.map(|(span, _)| {
        let place = compose.place(span);
        Finding::error("yaml-tag", place, "a YAML tag in the compose file")
            .help("write the value without a tag: Compose follows `!reset` and `!override`")
    })
    .collect()
}

/// Texts that no key or value may contain: the text, the rule and the reason.
const FORBIDDEN: [(&str, &str, &str); 2] = [
    (
        "docker.sock",
        "docker-socket",
        "anyone who can write to the Docker socket is root on the host",
    ),
    (
        "dhi.io",
        "dhi-at-run-time",
        "dhi.io needs a login, which users do not have",
    ),
];

fn forbidden(compose: &Compose, node: &Node) -> Vec<Finding> {
    match &node.value {
        Value::Text(text) => {
            let found = FORBIDDEN
                .iter()
                .filter(|(needle, ..)| text.contains(needle));
            found
                .map(|(needle, rule, reason)| {
                    let place = compose.place(node.span.clone());
                    let message = format!("the stack may not use `{needle}`");
                    Finding::error(rule, place, message).help(*reason)
                })
                .collect()
        }
        Value::Seq(items) => items
            .iter()
            .flat_map(|item| forbidden(compose, item))
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .flat_map(|(key, value)| [key, value])
            .flat_map(|node| forbidden(compose, node))
            .collect(),
        _ => Vec::new(),
    }
}
