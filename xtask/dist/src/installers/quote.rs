//! Quotes values for the languages of the installers.
//!
//! Each function returns a literal that its language reads back as exactly the given text, so that
//! no value can break out of its literal.

use std::fmt::Write as _;

/// A word of POSIX sh. Only the quote itself is special between single quotes.
pub(super) fn sh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A PowerShell string. PowerShell also treats four typographic quotes as single quotes; each is doubled.
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

/// A Ruby string, in the double quotes that Homebrew's style requires.
pub(super) fn ruby(text: &str) -> String {
    escaped(text, &['"', '\\', '#'], |c| {
        format!("\\u{{{:x}}}", u32::from(c))
    })
}

/// A double-quoted scalar of YAML.
pub(super) fn yaml(text: &str) -> String {
    escaped(text, &['"', '\\'], |c| format!("\\U{:08X}", u32::from(c)))
}

/// `text` in double quotes: `special` characters after a backslash, and those outside of printable ASCII by `number`.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xtask_host::process::Run;
    use xtask_testkit::has_part;

    use super::*;

    /// Text that would end a literal, start an expansion or be lost in at least one of the languages.
    const TEXTS: [&str; 16] = [
        "",
        "plain",
        "it's",
        "'; touch owned; '",
        "$(touch owned) `touch owned` ${HOME} $HOME",
        r"a\b\\c\",
        "\"; system('touch owned'); \"",
        "#{system('touch owned')} #$0 #@x",
        "%{x} %(y)",
        "\u{2018}; New-Item owned; \u{2019}\u{201a}\u{201b}\u{201c}",
        "line\nline\n\n",
        "tab\tbell\u{7}escape\u{1b}[31m\u{7f}\u{85}\u{2028}",
        "key: value # comment",
        "- *alias &anchor !tag",
        "\u{e9}\u{1f600}",
        "@args `n `\" ''",
    ];

    /// The output of `program` for `code`.
    fn printed(program: &str, flag: &str, code: &str) -> String {
        let run = Run::new(program).arg(flag).arg(code);
        let answer = run.converse("", Duration::from_secs(20)).unwrap();
        assert!(answer.success, "{program}: {code}: {}", answer.stderr);
        answer.stdout
    }

    #[test]
    fn sh_reads_every_text_back() {
        for text in TEXTS {
            assert_eq!(
                printed("sh", "-c", &format!("printf %s {}", sh(text))),
                text
            );
        }
    }

    #[test]
    fn ruby_reads_every_text_back() {
        if !has_part("ruby") {
            return;
        }
        for text in TEXTS {
            let code = format!("STDOUT.binmode; print {}.b", ruby(text));
            assert_eq!(printed("ruby", "-e", &code), text);
        }
    }

    #[test]
    fn yaml_reads_every_text_back() {
        for text in TEXTS {
            let document = xtask_yaml::parse(&format!("key: {}\n", yaml(text)))
                .unwrap_or_else(|_| panic!("{text:?} is not read"));
            assert_eq!(document.to_json(), serde_json::json!({"key": text}));
        }
    }

    /// The value of a single-quoted string by PowerShell's language specification (2.3.5.2): a pair of single quotes,
    /// each of any of the five characters, stands for the second one.
    fn powershell_value(literal: &str) -> Option<String> {
        let is_quote = |c: &char| matches!(c, '\'' | '\u{2018}'..='\u{201b}');
        let mut chars = literal.chars().peekable();
        chars.next().filter(is_quote)?;
        let mut value = String::new();
        while let Some(c) = chars.next() {
            if is_quote(&c) {
                match chars.next_if(is_quote) {
                    Some(second) => value.push(second),
                    None => return chars.next().is_none().then_some(value),
                }
            } else {
                value.push(c);
            }
        }
        None
    }

    #[test]
    fn powershell_reads_every_text_back() {
        for text in TEXTS {
            let literal = powershell(text);
            assert_eq!(powershell_value(&literal).as_deref(), Some(text));
        }
    }
}
