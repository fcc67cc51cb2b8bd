//! The schema of all reports, from their types.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::network::{Drift, Pinned, Proposed, ReadImages, Updated};
use super::release::{Bench, BuiltImages, Checked, Ci, CiSteps, Dist, Lab, Plan, Released, Setup};
use super::{Docs, Document, ImagesList, Pins, Prepared};

/// The path of the schema in the tree, and its public URL.
const ID: &str = "https://github.com/odralabshq/polis/schemas/report.schema.json";
const WHY: &str = "Why this file exists: a program that reads `cargo xtask VERB --format json` can rely on it. A test generates it, \
     and the tests hold every verb to it.";

/// The subschema of one type.
type Describe = fn(&mut SchemaGenerator) -> Schema;

/// The verbs, each with the types of its data.
const VERBS: [(&[&str], &[Describe]); 16] = [
    (&["check"], &[of::<Checked>]),
    (&["images list"], &[of::<ImagesList>]),
    (&["images build", "images push"], &[of::<BuiltImages>]),
    (&["pin"], &[of::<Pinned>]),
    (&["prepare"], &[of::<Prepared>]),
    (&["verify-pins", "verify-checksums"], &[of::<Pins>]),
    (&["verify-images"], &[of::<ReadImages>]),
    (&["drift"], &[of::<Drift>, of::<Proposed>]),
    (
        &[
            "update sysbox",
            "update yq",
            "update actions",
            "update images",
        ],
        &[of::<Updated>],
    ),
    (&["docs"], &[of::<Docs>]),
    (&["dist"], &[of::<Dist>]),
    (&["release"], &[of::<Plan>, of::<Released>]),
    (
        &["lab up", "lab down", "lab status", "lab serve"],
        &[of::<Lab>],
    ),
    (&["ci"], &[of::<Ci>, of::<CiSteps>]),
    (&["setup"], &[of::<Setup>]),
    (&["bench"], &[of::<Bench>]),
];

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema.
pub fn of_reports() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = settings.into_generator();
    let mut cases = Vec::new();
    for (verbs, types) in VERBS {
        let types = types.iter().map(|describe| describe(&mut generator));
        let mut types: Vec<Schema> = types.collect();
        let data = match types.len() {
            1 => types.remove(0).to_value(),
            _ => json!({"anyOf": types}),
        };
        cases.push(json!({
            "if": {"properties": {"verb": {"enum": verbs}}},
            "then": {"properties": {"data": data}},
        }));
    }
    let mut schema = generator.into_root_schema_for::<Document<'_>>().to_value();
    let verbs: Vec<&str> = VERBS
        .iter()
        .flat_map(|(verbs, _)| *verbs)
        .copied()
        .collect();
    schema["$id"] = ID.into();
    schema["$comment"] = WHY.into();
    schema["title"] = "Report of a release verb".into();
    schema["properties"]["verb"]["enum"] = json!(verbs);
    schema["allOf"] = json!([{
        "if": {"properties": {"error": {"type": "null"}}},
        "then": {"allOf": cases},
        "else": {"properties": {"data": {"type": "null"}}},
    }]);
    schema
}
