//! Fills templates whose placeholders are written `@@name@@`.

use xtask_host::error::{Error, Result};

/// Delimits a name on both sides; it occurs nowhere else in a template.
const MARK: &str = "@@";

/// The template with each placeholder replaced by its value, in one pass, so that values are never expanded.
///
/// # Errors
/// If a placeholder has no value, a value has no placeholder, or a value contains the mark.
pub(super) fn fill(path: &str, template: &str, values: &[(&str, String)]) -> Result<String> {
    let wrong = |what: String| Error::findings(format!("`{path}`: {what}"));
    let mut used = vec![false; values.len()];
    let mut filled = String::new();
    if !template.matches(MARK).count().is_multiple_of(2) {
        return Err(wrong(format!("`{MARK}` is not closed")));
    }
    for (index, piece) in template.split(MARK).enumerate() {
        // Text and names alternate.
        if index % 2 == 0 {
            filled.push_str(piece);
            continue;
        }
        let found = values.iter().position(|(name, _)| *name == piece);
        let at = found.ok_or_else(|| wrong(format!("placeholder `{piece}` has no value")))?;
        used[at] = true;
        filled.push_str(&values[at].1);
    }
    if let Some(at) = used.iter().position(|used| !used) {
        return Err(wrong(format!(
            "value `{}` has no placeholder",
            values[at].0
        )));
    }
    if filled.contains(MARK) {
        return Err(wrong(format!("`{MARK}` is left after rendering")));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_fill(template: &str, values: &[(&str, &str)]) -> std::result::Result<String, String> {
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        fill("x.sh", template, &values).map_err(|error| error.to_string())
    }

    #[test]
    fn every_placeholder_is_replaced() {
        let filled = try_fill("a=@@a@@ b=@@b@@@@a@@\n", &[("a", "1"), ("b", "2")]);
        assert_eq!(filled.unwrap(), "a=1 b=21\n");
        for (template, values, message) in [
            ("@@a@@", &[][..], "placeholder `a` has no value"),
            (
                "@@a@@",
                &[("a", "1"), ("b", "2")],
                "value `b` has no placeholder",
            ),
            ("@@a@@", &[("a", "@@b@@")], "`@@` is left"),
            ("@@a@@ @@a", &[("a", "1")], "`@@` is not closed"),
            ("@@a@@@", &[("a", "@")], "`@@` is left"),
        ] {
            let error = try_fill(template, values).expect_err(template);
            assert!(error.contains(message), "{template}: {error}");
        }
    }
}
