//! Parses YAML into plain JSON values, resolving anchors and merge keys.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// Parses one document.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| {
        let at = error.marker();
        format!(
            "yaml: line {}, column {}: {}",
            at.line(),
            at.col() + 1,
            error.info()
        )
    })?;
    match documents.as_slice() {
        [] => Ok(Value::Null),
        [document] => Ok(value(document)),
        _ => Err("yaml: more than one document".to_owned()),
    }
}

fn value(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(scalar) => match scalar {
            Scalar::Boolean(value) => Value::from(*value),
            Scalar::Integer(value) => Value::from(*value),
            Scalar::FloatingPoint(value) => Value::from(**value),
            Scalar::String(value) => Value::from(value.as_ref()),
            Scalar::Null => Value::Null,
        },
        Yaml::Representation(text, ..) => Value::from(text.as_ref()),
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(entries) => {
            let mut own = Map::new();
            let mut merged = Vec::new();
            for (key, inner) in entries {
                match (text_of(key).as_str(), value(inner)) {
                    ("<<", Value::Array(sources)) => merged.extend(sources),
                    ("<<", source) => merged.push(source),
                    (name, inner) => drop(own.insert(name.to_owned(), inner)),
                }
            }
            // A mapping's own keys take precedence over merged ones, and an earlier source over a later one.
            for (name, inner) in merged.into_iter().filter_map(into_map).flatten() {
                own.entry(name).or_insert(inner);
            }
            Value::Object(own)
        }
        Yaml::Tagged(_, inner) => value(inner),
        Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}

fn into_map(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn text_of(yaml: &Yaml<'_>) -> String {
    match value(yaml) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
