//! The one module that prints: results on standard output, words for people on standard error.
//!
//! Registries, GitHub and the files of a tree also write what we print. A terminal obeys control
//! characters, and bidirectional marks show a text in another order than it has; so both are shown
//! as what they are, and never sent.

use std::borrow::Cow;
use std::io::{self, Write as _};

use serde_json::Value;

/// Prints a line on standard error. Where nobody reads it, or it cannot be written, nothing is lost.
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

/// `text` with every character that a terminal obeys as `\u{..}`; line ends and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.replace("\r\n", "\n").chars() {
        match is_obeyed(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// `document` as text: the same document, with such characters escaped as JSON has it.
pub fn shown_json(document: &Value) -> String {
    let mut out = String::new();
    // serde_json escapes those below 0x20; a line end between two tokens stays.
    for c in format!("{document:#}\n").chars() {
        match is_obeyed(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Whether a terminal, or whoever lays out text, obeys `c` instead of showing it.
fn is_obeyed(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]52;c;eA==\u{7}\u{9b}2J\u{202e}b\r\nnext:\rx\u{7f}é\t\u{2069}";

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        assert_eq!(
            shown(HOSTILE),
            "a\\u{1b}]52;c;eA==\\u{7}\\u{9b}2J\\u{202e}b\nnext:\\u{d}x\\u{7f}é\t\\u{2069}"
        );
        assert!(matches!(shown("plain é\n\t"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_document_stays_the_same_document() {
        let document = serde_json::json!({"x": HOSTILE, "y": ["\u{2028}"]});
        let text = shown_json(&document);
        assert!(!text.chars().any(is_obeyed), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
