//! Variables in a compose file: `$$`, `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}`.

use std::collections::BTreeMap;

use serde_json::Value;

/// Variables by name.
pub(super) type Variables = BTreeMap<String, String>;

/// Replaces the variables in every text of a value.
///
/// # Errors
/// What Compose says of a reference that it cannot read.
pub(super) fn value(value: Value, variables: &Variables) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(self::text(&text, variables)?),
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| self::value(item, variables))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, inner)| Ok((key, self::value(inner, variables)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other,
    })
}

fn text(text: &str, variables: &Variables) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let Some((reference, after)) = inner.split_once('}') else {
                return Err(format!("invalid interpolation format for \"{text}\""));
            };
            out.push_str(&substituted(reference, variables));
            rest = after;
        } else {
            let length = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            if length == 0 {
                return Err(format!("invalid interpolation format for \"{text}\""));
            }
            out.push_str(&substituted(&after[..length], variables));
            rest = &after[length..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn substituted(reference: &str, variables: &Variables) -> String {
    let (name, default, or_empty) = match (reference.split_once(":-"), reference.split_once('-')) {
        (Some((name, default)), _) => (name, default, true),
        (None, Some((name, default))) => (name, default, false),
        (None, None) => (reference, "", false),
    };
    match variables.get(name) {
        Some(value) if !(or_empty && value.is_empty()) => value.clone(),
        _ => default.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_doubled_signs_are_not() {
        let variables = Variables::from([
            ("A".to_owned(), "1".to_owned()),
            ("E".to_owned(), String::new()),
        ]);
        let replaced = |source: &str| text(source, &variables).unwrap();
        assert_eq!(replaced("$A-${A}-$$A"), "1-1-$A");
        assert_eq!(replaced("${B:-x}${E:-y}${E-z}"), "xy");
        assert!(text("${A", &variables).is_err());
    }
}
