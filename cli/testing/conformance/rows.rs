//! Parses the rows of `rows.txt`, and compares an answer with one of them.

/// A row: its arrangement, its calls and the expected answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// The unique name.
    pub(crate) name: String,
    /// The arrangement.
    pub(crate) on: String,
    /// The place in the contract page.
    pub(crate) page: String,
    /// Calls to make first, which must succeed.
    pub(crate) before: Vec<Call>,
    /// A call that runs meanwhile.
    pub(crate) meanwhile: Option<Call>,
    /// The call to check.
    pub(crate) call: Call,
    /// Whether the pipe is closed after the first line of output.
    pub(crate) unread: bool,
    /// The exit code; `None` if it must not end.
    pub(crate) code: Option<i32>,
    /// Standard output and standard error.
    pub(crate) streams: [Words; 2],
}

/// A call of `multipass`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Its standard input.
    pub(crate) stdin: String,
}

/// The expected text of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The whole text, line by line.
    whole: Vec<String>,
    /// A part of the text.
    parts: Vec<String>,
}

/// The answer of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The exit code; `None` if it did not end in time.
    pub(crate) code: Option<i32>,
    /// Standard output and standard error.
    pub(crate) streams: [String; 2],
}

/// Parses the rows.
///
/// # Errors
/// With the number of the invalid line.
pub(crate) fn read(text: &str) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    let mut stdin = String::new();
    for (number, line) in text.lines().enumerate() {
        let bad = |what: &str| format!("rows.txt:{}: {what}: {line}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let (name, on) = rest.split_once("] ").ok_or_else(|| bad("no arrangement"))?;
            rows.push(Row {
                name: name.to_owned(),
                on: on.to_owned(),
                ..Row::default()
            });
            continue;
        }
        let row = rows
            .last_mut()
            .ok_or_else(|| bad("line before the first row"))?;
        let (sign, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut call = || {
            let stdin = std::mem::take(&mut stdin);
            words(rest).map(|args| Call { args, stdin })
        };
        let unescaped = || rest.replace("\\e", "\u{1b}").replace("\\b", "\u{8}");
        match sign {
            "@" => row.page = rest.to_owned(),
            "<" => stdin.push_str(&format!("{rest}\n")),
            "+" => row
                .before
                .push(call().ok_or_else(|| bad("unclosed quote"))?),
            "&" => row.meanwhile = Some(call().ok_or_else(|| bad("unclosed quote"))?),
            "$" | "$|" => {
                row.call = call().ok_or_else(|| bad("unclosed quote"))?;
                row.unread = sign == "$|";
            }
            "=" if rest == "hangs" => row.code = None,
            "=" => row.code = Some(rest.parse().map_err(|_| bad("invalid exit code"))?),
            ">" => row.streams[0].whole.push(unescaped()),
            "!" => row.streams[1].whole.push(unescaped()),
            ">~" => row.streams[0].parts.push(unescaped()),
            "!~" => row.streams[1].parts.push(unescaped()),
            _ => return Err(bad("unknown sign")),
        }
    }
    Ok(rows)
}

/// Splits a command line into words; single quotes keep blanks. `None` if a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

impl Row {
    /// The row with each `{key}` replaced by its value.
    pub(crate) fn filled(&self, values: &[(&str, &str)]) -> Self {
        let fill = |text: &mut String| {
            for (key, value) in values {
                *text = text.replace(&format!("{{{key}}}"), value);
            }
        };
        let mut row = self.clone();
        let calls = row.before.iter_mut().chain(&mut row.meanwhile);
        for call in calls.chain([&mut row.call]) {
            call.args.iter_mut().for_each(fill);
        }
        for words in &mut row.streams {
            words
                .whole
                .iter_mut()
                .chain(&mut words.parts)
                .for_each(fill);
        }
        row
    }

    /// The differences between an answer and the expected one, one line each.
    pub(crate) fn differences(&self, answer: &Answer) -> Vec<String> {
        let mut differences = Vec::new();
        let ending = |code: Option<i32>| {
            code.map_or("did not end".to_owned(), |code| format!("exit {code}"))
        };
        if self.code != answer.code {
            let expected = self
                .code
                .map_or("not to end".to_owned(), |code| format!("exit {code}"));
            differences.push(format!(
                "expected {expected}, but it {}",
                ending(answer.code)
            ));
        }
        for (name, (words, text)) in ["standard output", "standard error"]
            .iter()
            .zip(self.streams.iter().zip(&answer.streams))
        {
            let text = without_times(text);
            for pattern in words.patterns() {
                if !matches(&pattern, &text) {
                    differences.push(format!("expected {name} {pattern:?}, but it was {text:?}"));
                }
            }
        }
        differences
    }
}

impl Words {
    fn patterns(&self) -> Vec<String> {
        let mut patterns: Vec<String> = self.parts.iter().map(|part| format!("*{part}*")).collect();
        if patterns.is_empty() || !self.whole.is_empty() {
            patterns.push(self.whole.join("\n"));
        }
        patterns
    }
}

/// Whether a text matches a pattern, in which `*` is any text. A newline at the end does not count.
fn matches(pattern: &str, text: &str) -> bool {
    let mut text = text.strip_suffix('\n').unwrap_or(text);
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(rest) = text.strip_prefix(first) else {
        return false;
    };
    text = rest;
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return text.is_empty();
    };
    for piece in pieces {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

/// Replaces every timestamp such as `[2026-11-26T18:42:08.594]` by `[ts]`.
fn without_times(text: &str) -> String {
    let mut pieces = text.split('[');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let time = piece.split_once(']').filter(|(time, _)| {
            time.len() == 23
                && time
                    .chars()
                    .all(|c| c.is_ascii_digit() || "-T:.".contains(c))
        });
        match time {
            Some((_, rest)) => out.push_str(&format!("[ts]{rest}")),
            None => out.push_str(&format!("[{piece}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = include_str!("rows.txt");

    #[test]
    fn every_row_is_complete_and_has_a_unique_name() {
        let rows = read(ROWS).unwrap();
        for (number, row) in rows.iter().enumerate() {
            assert!(!row.page.is_empty() && !row.on.is_empty(), "{row:?}");
            let twice = rows
                .iter()
                .skip(number + 1)
                .any(|other| other.name == row.name);
            assert!(!twice, "{}", row.name);
        }
    }

    #[test]
    fn an_invalid_line_is_reported() {
        assert_eq!(
            read("[a] none\n% x").unwrap_err(),
            "rows.txt:2: unknown sign: % x"
        );
        assert_eq!(
            read("$ x").unwrap_err(),
            "rows.txt:1: line before the first row: $ x"
        );
    }

    #[test]
    fn quotes_keep_words_together() {
        let expected = Some(["a b", "", "c"].map(str::to_owned).to_vec());
        assert_eq!(words("'a b' '' c"), expected);
        assert_eq!(words("'a"), None);
    }

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text) in [
            ("", ""),
            ("a*c", "abc\n"),
            ("*", ""),
            ("a*b*", "axxb"),
            ("*a", "ba\na"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "x"),
            ("a", "ab"),
            ("a*c", "ab"),
            ("ab*b", "ab"),
            ("*a*", "b"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert_eq!(
            without_times("[2026-11-26T18:42:08.594] [error] x[1]"),
            "[ts] [error] x[1]"
        );
    }

    #[test]
    fn every_kind_of_difference_is_reported() {
        let row = &read("[a] none\n$ x\n= 2\n> out\n! err").unwrap()[0];
        let right = Answer {
            code: Some(2),
            streams: ["out\n".to_owned(), "err\n".to_owned()],
        };
        assert_eq!(row.differences(&right), [""; 0]);
        let wrong = [
            Answer {
                code: Some(1),
                ..right.clone()
            },
            Answer {
                code: None,
                ..right.clone()
            },
            Answer {
                streams: [String::new(), "err".to_owned()],
                ..right.clone()
            },
            Answer {
                streams: ["out".to_owned(), "er".to_owned()],
                ..right
            },
        ];
        for answer in wrong {
            assert_eq!(row.differences(&answer).len(), 1, "{answer:?}");
        }
    }
}
