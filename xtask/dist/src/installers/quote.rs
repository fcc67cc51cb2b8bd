//! Literals of the languages that the installers are written in.
//!
//! Each function returns one literal that its language reads back as exactly the given text, so
//! that no value can end its literal and become code.

use std::fmt::Write as _;

/// A word of POSIX sh. Nothing is special between single quotes but the quote itself.
pub(super) fn sh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A string of PowerShell. It takes four typographic quotes for single quotes as well; each is
/// written twice.
pub(super) fn powershell(text: &str) -> String {
    let mut literal = String::from("'");
    for c in text.chars() {
        literal.push(c);
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            literal.push(c);
        }
    }
    literal.push('\'');
    literal
}

/// A string of Ruby, in the double quotes that Homebrew's style asks for.
pub(super) fn ruby(text: &str) -> String {
    escaped(text, &['"', '\\', '#'], |c| {
        format!("\\u{{{:x}}}", u32::from(c))
    })
}

/// A double-quoted scalar of YAML.
pub(super) fn yaml(text: &str) -> String {
    escaped(text, &['"', '\\'], |c| format!("\\U{:08X}", u32::from(c)))
}

/// `text` in double quotes: `special` after a backslash, what is not printable ASCII by `number`.
fn escaped(text: &str, special: &[char], number: impl Fn(char) -> String) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        if special.contains(&c) {
            let _ = write!(literal, "\\{c}");
        } else if matches!(c, ' '..='~') {
            literal.push(c);
        } else {
            literal.push_str(&number(c));
        }
    }
    literal.push('"');
    literal
}
