//! Generated JSON in the form in which it is committed.

use serde_json::{Map, Value};

/// The text of a file with `document`: indented, and with the keys of each object sorted, whatever features serde_json was built
/// with.
pub fn json_file(document: Value) -> String {
    format!("{:#}\n", sorted(document))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            let fields = fields.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
