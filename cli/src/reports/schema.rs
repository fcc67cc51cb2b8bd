//! Generates `schemas/polis.schema.json` from the types of the reports.

use clap::{Command, CommandFactory as _};
use expect_test::expect_file;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};
use xtask_testkit::json_file;

use super::Document;
use super::agent::{
    AddedAgent, AgentDetails, AgentList, CheckedAgent, RemovedAgent, RestartedAgent,
};
use super::doctor::Diagnosis;
use super::files::{Copy, SshConfig, Sync};
use super::machine::{Delete, List, SnapshotChange, SnapshotList, Stop};
use super::port::{PortChange, PortList};
use super::program::{Update, Version};
use super::security::{Approval, Denial, EventLog, LevelChange, Permission, SecurityStatus};
use super::start::{Plan, Start};
use super::status::Status;
use crate::args::Cli;
use crate::security::Pending;

/// The path of the schema in the tree, and its public URL.
const ID: &str = "https://github.com/odralabshq/polis/schemas/polis.schema.json";
const WHY: &str = "Why this file exists: a program that reads `polis COMMAND --json` can rely on it. A test generates it, and the \
     tests hold every command to it.";

/// The subschema of one type.
type Describe = fn(&mut SchemaGenerator) -> Schema;

/// The commands that have a report, each with the types of its result.
const REPORTS: [(&[&str], &[Describe]); 28] = [
    (&["start"], &[of::<Start<'_>>, of::<Plan<'_>>]),
    (&["stop"], &[of::<Stop<'_>>]),
    (&["status"], &[of::<Status<'_>>]),
    (&["list"], &[of::<List<'_>>]),
    (&["delete"], &[of::<Delete>]),
    (&["doctor"], &[of::<Diagnosis>]),
    (&["cp"], &[of::<Copy>]),
    (&["sync"], &[of::<Sync>]),
    (&["ssh-config"], &[of::<SshConfig<'_>>]),
    (&["security status"], &[of::<SecurityStatus>]),
    (&["security pending"], &[of::<Pending>]),
    (&["security approve"], &[of::<Approval<'_>>]),
    (&["security deny"], &[of::<Denial<'_>>]),
    (&["security allow"], &[of::<Permission<'_>>]),
    (&["security level"], &[of::<LevelChange<'_>>]),
    (&["security log"], &[of::<EventLog>]),
    (&["agent add"], &[of::<AddedAgent<'_>>]),
    (&["agent list"], &[of::<AgentList<'_>>]),
    (&["agent show"], &[of::<AgentDetails<'_>>]),
    (&["agent remove"], &[of::<RemovedAgent<'_>>]),
    (&["agent restart"], &[of::<RestartedAgent<'_>>]),
    (&["agent check"], &[of::<CheckedAgent>]),
    (&["port list"], &[of::<PortList>]),
    (&["port add", "port remove"], &[of::<PortChange>]),
    (&["snapshot list"], &[of::<SnapshotList<'_>>]),
    (
        &["snapshot create", "snapshot restore", "snapshot delete"],
        &[of::<SnapshotChange<'_>>],
    ),
    (&["update"], &[of::<Update>]),
    (&["version"], &[of::<Version>]),
];

/// The commands without a report: with `--json`, they fail.
const NO_REPORT: [&str; 8] = [
    "exec",
    "shell",
    "connect",
    "_ssh-proxy",
    "logs",
    "agent logs",
    "completions",
    "man",
];

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Every command in the tables.
fn commands() -> Vec<&'static str> {
    let reports = REPORTS.iter().flat_map(|(commands, _)| *commands);
    reports.chain(&NO_REPORT).copied().collect()
}

/// The result of each command that succeeds.
fn results(generator: &mut SchemaGenerator) -> Vec<Value> {
    let mut cases = Vec::new();
    for (commands, types) in REPORTS {
        let mut types: Vec<Schema> = types.iter().map(|of| of(generator)).collect();
        let result = match types.len() {
            1 => types.remove(0).to_value(),
            _ => json!({"anyOf": types}),
        };
        cases.push(json!({
            "if": {"properties": {"command": {"enum": commands}}},
            "then": {"properties": {"result": result}},
        }));
    }
    cases.push(json!({"not": {"properties": {"command": {"enum": NO_REPORT}}}}));
    cases
}

/// Refuses keys that are not in the type of an object, and puts each description on one line.
fn tighten(schema: &mut Schema) {
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// The schema of all documents.
fn of_documents() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with_transform(RecursiveTransform(tighten));
    let mut generator = settings.into_generator();
    let cases = results(&mut generator);
    let mut schema = generator.into_root_schema_for::<Document<'_>>().to_value();
    schema["$id"] = ID.into();
    schema["$comment"] = WHY.into();
    schema["title"] = "What polis prints with --json".into();
    schema["properties"]["command"]["enum"] = json!(commands());
    schema["allOf"] = json!([{
        "if": {"properties": {"error": {"type": "null"}}},
        "then": {"allOf": cases},
        "else": {"properties": {"result": {"type": "null"}}},
    }]);
    schema
}

/// The commands below `command`, as typed.
fn below(command: &Command, words: &str, found: &mut Vec<String>) {
    for inner in command.get_subcommands() {
        let words = format!("{words} {}", inner.get_name());
        match inner.has_subcommands() {
            true => below(inner, &words, found),
            false => found.push(words.trim_start().to_owned()),
        }
    }
}

/// `UPDATE_EXPECT=1 cargo test --package polis the_schema_is_that_of_the_reports` writes it.
#[test]
fn the_schema_is_that_of_the_reports() {
    // An absolute path: other tests run this one in other directories.
    expect_file![concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../schemas/polis.schema.json"
    )]
    .assert_eq(&json_file(of_documents()));
}

#[test]
fn every_command_has_a_report_or_none() {
    let mut found = Vec::new();
    below(&Cli::command(), "", &mut found);
    let mut known = commands();
    found.sort();
    known.sort_unstable();
    assert_eq!(
        found, known,
        "REPORTS or NO_REPORT in cli/src/reports/schema.rs"
    );
}
