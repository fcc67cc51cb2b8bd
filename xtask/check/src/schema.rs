//! Validates YAML by a JSON Schema. Violations have their place in the file.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};

use xtask_host::finding::Finding;
use xtask_host::source::Source;
use xtask_pins::yaml::Node;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema(Validator);

impl Schema {
    /// Compiles the schema in `source`.
    ///
    /// # Errors
    /// If it is not a valid JSON Schema.
    pub fn parse(source: &Source) -> Result<Self, String> {
        let document = serde_json::from_str(&source.text).map_err(|error| error.to_string())?;
        let validator = jsonschema::validator_for(&document).map_err(|error| error.to_string())?;
        Ok(Self(validator))
    }

    /// Every violation of the schema by `root`, at its place in `source`.
    pub fn check(&self, source: &Source, root: &Node) -> Vec<Finding> {
        let instance = root.to_json();
        self.0
            .iter_errors(&instance)
            .flat_map(|error| findings(&error, source, root))
            .collect()
    }
}

fn findings(error: &ValidationError<'_>, source: &Source, root: &Node) -> Vec<Finding> {
    let pointer = error.instance_path().to_string();
    let (key, node) = root.at_pointer(&pointer);
    let at = |node: &Node| source.place(node.span.clone());
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| {
                let place = node
                    .entry(name)
                    .map_or_else(|| at(node), |(key, _)| at(key));
                Finding::error(
                    "schema",
                    place,
                    format!("unknown key `{name}`{}", under(&pointer)),
                )
            })
            .collect(),
        // The key is a better place than a value of many lines.
        ValidationErrorKind::Required { .. } => {
            vec![Finding::error(
                "schema",
                at(key.unwrap_or(node)),
                format!("{error}{}", under(&pointer)),
            )]
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            match meant(context, &pointer) {
                Some(branch) => branch
                    .iter()
                    .flat_map(|error| findings(error, source, root))
                    .collect(),
                None => vec![Finding::error(
                    "schema",
                    at(node),
                    format!("{}{}", none_of(context), under(&pointer)),
                )],
            }
        }
        _ => vec![Finding::error(
            "schema",
            at(node),
            format!("{}{}", masked(error), under(&pointer)),
        )],
    }
}

/// The only alternative whose type matches that of the value.
fn meant<'a>(
    alternatives: &'a [Vec<ValidationError<'static>>],
    pointer: &str,
) -> Option<&'a [ValidationError<'static>]> {
    let fits = |errors: &&Vec<ValidationError<'static>>| {
        !errors.iter().any(|error| {
            matches!(error.kind(), ValidationErrorKind::Type { .. })
                && error.instance_path().to_string() == pointer
        })
    };
    let mut fitting = alternatives.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// The errors of all alternatives, each once.
fn none_of(alternatives: &[Vec<ValidationError<'static>>]) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for error in alternatives.iter().flatten() {
        let reason = masked(error);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join(", and ")
}

/// The error without the value, which may be a long script.
fn masked(error: &ValidationError<'_>) -> String {
    error.masked_with("this value").to_string()
}

fn under(pointer: &str) -> String {
    if pointer.is_empty() {
        String::new()
    } else {
        format!(" (at {pointer})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages explain the chosen form, without terms of JSON Schema.
    #[test]
    fn a_value_is_judged_by_the_alternative_of_its_type() {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let schema = Schema::parse(&source(
            "s.json",
            r#"{"additionalProperties": {"oneOf": [
                {"type": "string"},
                {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]}}]}}"#,
        ))
        .unwrap();
        let yaml = source("x.yml", "a: text\nb:\n  - 1\n  - x\nc: 1\n");
        let root = xtask_pins::yaml::parse(&yaml).unwrap();
        let seen: Vec<_> = schema
            .check(&yaml, &root)
            .into_iter()
            .map(|finding| (finding.place.unwrap().line, finding.message))
            .collect();
        let none = |a: &str, b: &str, at: &str| {
            format!(
                "this value is not of type \"{a}\", and this value is not of type \"{b}\" (at {at})"
            )
        };
        let expected = [
            (4, none("integer", "boolean", "/b/1")),
            (5, none("string", "array", "/c")),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn every_violation_has_a_location() {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let schema = Schema::parse(&source(
            "s.json",
            r#"{"type": "object", "additionalProperties": false, "required": ["a"],
                "properties": {"a": {"type": "array", "items": {"type": "integer"}}, "b": {"const": true}}}"#,
        ))
        .unwrap();
        let yaml = source("x.yml", "b: false\nc: 1\na:\n  - 1\n  - x\n");
        let root = xtask_pins::yaml::parse(&yaml).unwrap();
        let mut seen: Vec<_> = schema
            .check(&yaml, &root)
            .iter()
            .map(|finding| {
                (
                    finding.place.as_ref().unwrap().line,
                    finding.message.clone(),
                )
            })
            .collect();
        seen.sort();
        let expected = [
            (1, "this value is not true"),
            (2, "unknown key `c`"),
            (5, "this value is not of type \"integer\" (at /a/1)"),
        ];
        for ((line, message), (expected_line, start)) in seen.iter().zip(expected) {
            assert_eq!(*line, expected_line, "{message}");
            assert!(
                message.starts_with(start) || message.contains("true"),
                "{message}"
            );
        }
        assert_eq!(seen.len(), 3);
    }
}
