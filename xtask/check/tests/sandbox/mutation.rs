//! Every key that Compose knows, with hostile values, everywhere in the shipped file that Compose accepts it.
//!
//! The keys come from Compose's own schema, as `check-jsonschema` ships it, so that keys new in Compose are tested as
//! soon as that package has them. Keys that `check` accepts must be in a list, each with a reason.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use xtask_check::{sandbox, stack};
use xtask_host::source::Source;
use xtask_pins::compose::Compose;
use xtask_pins::yaml::{Node, Value};
use xtask_testkit::has_part;

use crate::edits::{node, put, shipped};

/// The file of the package, on `PATH` like the programs of other packages.
const SCHEMA: &str = "compose-spec.json";

/// Values that are hostile where they have a meaning; the last is a limit.
const TEXTS: [&str; 8] = [
    "host",
    "/",
    "root",
    "unconfined",
    "service:gate",
    "ALL",
    "${X}",
    "1m",
];

/// What is accepted besides the free keys of a service, and why it gives no power.
const PASSES: &[(&str, &str)] = &[
    ("services.*.deploy.resources.limits.cpus", "a limit"),
    (
        "services.*.deploy.resources.limits.memory",
        "a limit; the rule `memory-limit` judges it",
    ),
    (
        "services.*.deploy.resources.limits.pids",
        "a limit; the rule `pids-limit` judges it",
    ),
    (
        "services.*.deploy.resources.reservations.memory",
        "what an agent's manifest asks for; a reservation takes nothing from the others' limits",
    ),
    (
        "services.*.environment.*",
        "configuration of a program, as the files that are mounted; new names are refused",
    ),
    (
        "services.*.read_only",
        "`true` takes away; `false` is the workspace's alone",
    ),
    (
        "services.*.ulimits.*",
        "how many files gate may open; other limits are refused",
    ),
];

/// An edit: the path for [`put`], the value, and the path with `*` for every user-defined name.
struct Edit {
    path: String,
    value: Node,
    label: String,
}

/// Walks a schema in parallel with a document.
struct Walk<'a> {
    schema: &'a Json,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    /// Adds the edits of what `schema` allows at `path`, where the document has `here`.
    fn walk(&mut self, schema: &Json, here: Option<&Node>, path: &str, label: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let target = self.schema.pointer(name.trim_start_matches('#'));
            self.walk(&target.expect(name).clone(), here, path, label);
        }
        for union in ["oneOf", "anyOf", "allOf"] {
            for one in schema[union].as_array().into_iter().flatten() {
                self.walk(one, here, path, label);
            }
        }
        for value in schema["enum"].as_array().into_iter().flatten() {
            self.edit(value, path, label);
        }
        let has = |key: &str| schema.get(key).is_some();
        let types = match &schema["type"] {
            Json::Array(types) => types.iter().filter_map(Json::as_str).collect(),
            Json::String(one) => vec![one.as_str()],
            _ if has("properties") || has("patternProperties") => vec!["object"],
            _ if ["$ref", "oneOf", "anyOf", "allOf", "enum"]
                .iter()
                .any(|key| has(key)) =>
            {
                Vec::new()
            }
            _ => vec!["string"],
        };
        for name in types {
            match name {
                "object" => self.object(schema, here, path, label),
                "array" => self.walk(
                    &schema["items"],
                    None,
                    &format!("{path}/+"),
                    &format!("{label}[]"),
                ),
                "string" => TEXTS
                    .iter()
                    .for_each(|text| self.edit(&Json::from(*text), path, label)),
                "boolean" => [true, false]
                    .iter()
                    .for_each(|value| self.edit(&Json::from(*value), path, label)),
                "number" | "integer" => [-1, 0, 9999]
                    .iter()
                    .for_each(|value| self.edit(&Json::from(*value), path, label)),
                "null" => {}
                other => panic!("the schema has a type `{other}` at {label}"),
            }
        }
    }

    fn object(&mut self, schema: &Json, here: Option<&Node>, path: &str, label: &str) {
        let join = |base: &str, sign: &str, key: &str| match base {
            "" => key.to_owned(),
            base => format!("{base}{sign}{key}"),
        };
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let next = here.and_then(|here| here.get(key));
            self.walk(value, next, &join(path, "/", key), &join(label, ".", key));
        }
        let patterns = schema["patternProperties"]
            .as_object()
            .into_iter()
            .flatten();
        let named = patterns
            .filter(|(pattern, _)| *pattern != "^x-")
            .map(|(_, value)| value);
        let further = Some(&schema["additionalProperties"]).filter(|value| value.is_object());
        let members: Vec<&Json> = named.chain(further).collect();
        if members.is_empty() && schema.get("properties").is_none() {
            self.edit(&serde_json::json!({"evil": "/"}), path, label);
        }
        for value in members {
            for (name, member) in here.map_or(&[][..], Node::entries) {
                let name = name.text().expect("a name");
                self.walk(
                    value,
                    Some(member),
                    &join(path, "/", name),
                    &join(label, ".", "*"),
                );
            }
            // A new member is rejected for its name, so a few of its keys suffice.
            let known = self.edits.len();
            self.walk(
                value,
                None,
                &join(path, "/", "evil"),
                &join(label, ".", "evil"),
            );
            self.edits.truncate(known + 30);
            self.edit(
                &serde_json::json!({}),
                &join(path, "/", "evil"),
                &join(label, ".", "evil"),
            );
        }
    }

    fn edit(&mut self, value: &Json, path: &str, label: &str) {
        let (path, label) = (path.to_owned(), label.to_owned());
        let value = node(&value.to_string());
        self.edits.push(Edit { path, value, label });
    }
}

/// The schema, or `None` if tests may be skipped without it.
fn schema() -> Option<Json> {
    if !has_part(SCHEMA) {
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let file = std::env::split_paths(&path)
        .map(|dir| dir.join(SCHEMA))
        .find(|file| file.is_file());
    let text = std::fs::read_to_string(file.expect("it is there")).expect("a readable file");
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// The document without the services that the edit does not touch, since each is judged alone.
fn around(root: &Node, path: &str) -> Node {
    let service = path
        .strip_prefix("services/")
        .and_then(|rest| rest.split('/').next());
    let of = |name: &str| {
        root.get("services")
            .and_then(|services| services.entry(name))
            .cloned()
    };
    let entries = match service {
        None => root.entries().to_vec(),
        Some(name) => {
            let services = Value::Map(of(name).into_iter().collect());
            let key = node("services");
            let span = 0..0;
            vec![(
                key,
                Node {
                    value: services,
                    span,
                },
            )]
        }
    };
    Node {
        value: Value::Map(entries),
        span: 0..0,
    }
}

/// The document with scalars as text: `0` and `"0"` are the same value to Compose.
fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (plain(key).to_string(), plain(value)))
            .collect(),
        Value::Seq(items) => items.iter().map(plain).collect(),
        Value::Text(text) => Json::from(text.as_str()),
        _ => Json::from(node.to_json().to_string()),
    }
}

/// Whether `check` accepts the edited file, although it differs.
fn passes(compose: &Compose, edit: &Edit) -> bool {
    let before = around(&compose.root, &edit.path);
    let mut root = before.clone();
    put(&mut root, &edit.path, edit.value.clone());
    if !sandbox::judge(&root, sandbox::HOME).is_empty() || plain(&root) == plain(&before) {
        return false;
    }
    // The rules do not need the text, which takes longer to read than everything else.
    let text = "\n".repeat(compose.source.text.len());
    let path = compose.source.path.clone();
    let source = Source { path, text };
    stack::check(&Compose { source, root }, &|_| true).is_empty()
}

/// The free key of a service that `label` is about, or the whole label.
fn short(label: &str) -> String {
    let key = label
        .strip_prefix("services.*.")
        .map(|rest| rest.split(['.', '[']).next().unwrap_or_default());
    let free = key.filter(|key| sandbox::FREE.iter().any(|(free, _)| free == key));
    free.map_or_else(|| label.to_owned(), |key| format!("services.*.{key}"))
}

#[test]
fn every_key_that_gives_power_is_found() {
    let Some(schema) = schema() else { return };
    let compose = shipped();
    let mut walk = Walk {
        schema: &schema,
        edits: Vec::new(),
    };
    walk.walk(&schema, Some(&compose.root), "", "");

    let keys = |name: &str| {
        let keys = schema["$defs"][name]["properties"]
            .as_object()
            .into_iter()
            .flatten();
        keys.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let tried: BTreeSet<String> = walk.edits.iter().map(|edit| edit.label.clone()).collect();
    let services = compose.services().len();
    for key in [
        keys("service"),
        keys("container_spec"),
        keys("workload_spec"),
    ]
    .concat()
    {
        let of_key = |label: &&String| {
            label
                .strip_prefix("services.*.")
                .is_some_and(|rest| rest.starts_with(&key))
        };
        assert!(
            tried.iter().any(|label| of_key(&label)),
            "`{key}` was not tried"
        );
    }

    let mut unnoticed = BTreeSet::new();
    for edit in &walk.edits {
        let label = short(&edit.label);
        if !unnoticed.contains(&label) && passes(&compose, edit) {
            unnoticed.insert(label);
        }
    }
    let free = sandbox::FREE
        .iter()
        .map(|(key, _)| format!("services.*.{key}"));
    let allowed: BTreeSet<String> = free
        .chain(PASSES.iter().map(|(label, _)| (*label).to_owned()))
        .collect();
    eprintln!(
        "{} edits of {} keys in {services} services; {} pass",
        walk.edits.len(),
        tried.len(),
        unnoticed.len()
    );
    let more: Vec<_> = unnoticed.difference(&allowed).collect();
    let fewer: Vec<_> = allowed.difference(&unnoticed).collect();
    assert!(
        more.is_empty() && fewer.is_empty(),
        "pass and are not listed: {more:#?}\nlisted and do not pass: {fewer:#?}"
    );
}
