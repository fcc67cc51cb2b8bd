//! Makes untrusted text safe for a terminal.
//!
//! Control characters can write to the clipboard or hide output, and bidirectional marks reorder text. Both are escaped.

use std::borrow::Cow;

/// `text` with control characters and bidirectional marks escaped as `\u{..}`, except line breaks and tabs.
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

/// The JSON text `document` with such characters escaped as in JSON strings; the value is the same.
pub fn shown_json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    // Characters below 0x20 are already escaped; keep line breaks between tokens.
    for c in document.chars() {
        match is_obeyed(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Whether `c` is a control character or a bidirectional mark.
pub fn is_obeyed(c: char) -> bool {
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

    #[test]
    fn control_characters_are_escaped() {
        let hostile = "a\u{1b}]52;c;eA==\u{7}\u{9b}2J\u{202e}b\r\nnext:\rx\u{7f}é\t\u{2069}";
        assert_eq!(
            shown(hostile),
            "a\\u{1b}]52;c;eA==\\u{7}\\u{9b}2J\\u{202e}b\nnext:\\u{d}x\\u{7f}é\t\\u{2069}"
        );
        assert!(matches!(shown("plain é\n\t"), Cow::Borrowed(_)));
        assert_eq!(shown_json("\"\u{9b}\u{2028}é\"\n"), "\"\\u009b\\u2028é\"\n");
    }
}
