//! The one module that prints: results on standard output, words for people on standard error.
//!
//! Registries, GitHub and the files of a tree also write what we print: it goes through `polis_base::shown`.

use std::io::{self, Write as _};

use polis_base::shown;
pub use polis_base::shown::shown;
use serde_json::Value;

/// Prints a line on standard error; a failure to write it is ignored.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Prints `text`, which is [`shown`] or of our own making, on standard output.
///
/// # Errors
/// When it cannot be written, to the last byte.
pub fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// `document` as text: the same document, with what a terminal obeys escaped as JSON has it.
pub fn shown_json(document: &Value) -> String {
    shown::shown_json(&format!("{document:#}\n"))
}

/// `1 error`, `2 errors`: a count with its noun, which takes an `s` in the plural.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]52;c;eA==\u{7}\u{9b}2J\u{202e}b\r\nnext:\rx\u{7f}é\t\u{2069}";

    #[test]
    fn a_document_stays_the_same_document() {
        let document = serde_json::json!({"x": HOSTILE, "y": ["\u{2028}"]});
        let text = shown_json(&document);
        assert!(!text.chars().any(shown::is_obeyed), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
