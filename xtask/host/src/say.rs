//! The only module that prints: results on standard output, messages on standard error.
//!
//! Some of this text comes from registries, GitHub and files of the tree, so `polis_base::shown` escapes control
//! sequences.

use std::io::{self, Write as _};

use polis_base::shown;
pub use polis_base::shown::shown;
use serde_json::Value;

/// Prints a line on standard error and ignores write errors.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Prints `text` on standard output. It must come from [`shown`] or be our own.
///
/// # Errors
/// If it cannot be written completely.
pub fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// `document` as JSON text, with control sequences escaped in JSON's notation.
pub fn shown_json(document: &Value) -> String {
    shown::shown_json(&format!("{document:#}\n"))
}

/// A count with its noun, such as `1 error` or `2 errors`. Only for nouns whose plural adds an `s`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]52;c;eA==\u{7}\u{9b}2J\u{202e}b\r\nnext:\rx\u{7f}é\t\u{2069}";

    #[test]
    fn escaping_does_not_change_the_document() {
        let document = serde_json::json!({"x": HOSTILE, "y": ["\u{2028}"]});
        let text = shown_json(&document);
        assert!(!text.chars().any(shown::is_obeyed), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
