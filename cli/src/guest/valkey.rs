//! The stack's Valkey, queried inside its container by `valkey.sh`: the call, and the answers of `valkey-cli`.
//!
//! The agent can influence these answers, so every line is parsed strictly and nothing is guessed: anything incomplete is
//! [`Reply::Broken`].

use crate::guest;
use crate::multipass::call::Call;

/// The first line of the script's answer.
const HEADER: &str = "polis-valkey 1";
/// The body when there is no stack, and when the answer is in the file.
pub(crate) const NO_STACK: &str = "no-stack";
pub(crate) const IN_FILE: &str = "in-file";

/// Queries Valkey; `valkey.sh` documents `args`. An answer of more than `most` bytes goes to `file`.
pub(crate) fn call(most: usize, file: &str, args: &[String]) -> Call {
    let most = most.to_string();
    let mut words = vec![most.as_str(), file];
    words.extend(args.iter().map(String::as_str));
    Call::guest("query Valkey", include_str!("valkey.sh"), &words)
}

/// The answer after its first line.
pub(crate) fn body(text: &str) -> Option<&str> {
    guest::answer(text, HEADER).map(str::trim_end)
}

/// One reply of Valkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(String),
    /// `OK`, `QUEUED`, or a message of valkey-cli itself.
    Status(String),
    Integer(i64),
    /// No such key, or an empty list.
    Nil,
    Error(String),
    /// A string that is incomplete or not UTF-8.
    Broken,
}

impl Reply {
    /// Parses a line of `valkey-cli --no-raw`, without its number in a list.
    fn parse(line: &str) -> Self {
        let line = match line.trim_start().split_once(") ") {
            Some((place, rest)) if place.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            _ => line,
        };
        let inside = |begin: &str| line.strip_prefix(begin);
        match line {
            "(nil)" | "(empty array)" => Self::Nil,
            _ if line.starts_with('"') => unquoted(line).map_or(Self::Broken, Self::Text),
            _ => match (inside("(error) "), inside("(integer) ")) {
                (Some(error), _) => Self::Error(error.to_owned()),
                (_, Some(number)) => number.parse().map_or(Self::Broken, Self::Integer),
                _ => Self::Status(line.to_owned()),
            },
        }
    }
}

/// The string between quotes. Valkey escapes everything but printable ASCII.
fn unquoted(line: &str) -> Option<String> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?.bytes();
    let mut bytes = Vec::with_capacity(line.len());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'"' => return None,
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 0x07,
                b'b' => 0x08,
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                escaped @ (b'"' | b'\\') => escaped,
                _ => return None,
            },
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A key that matched, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Seconds to live; negative for a key that does not exist or does not expire.
    pub(crate) left: i64,
    pub(crate) value: Reply,
}

/// The keys that match one pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) entries: Vec<Entry>,
    /// Whether there are more than were read.
    pub(crate) more: bool,
}

/// The answer of the script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The VM's clock, in seconds since 1970.
    pub(crate) now: u64,
    /// One for each pattern, in order.
    pub(crate) keys: Vec<Keys>,
    /// Alternating members and scores; one list for each part.
    pub(crate) events: Vec<Vec<Reply>>,
    /// One for each command.
    pub(crate) replies: Vec<Reply>,
}

impl Answer {
    /// Parses the answer.
    ///
    /// # Errors
    /// With Valkey's message when it refuses to list keys, or when the answer is incomplete.
    pub(crate) fn parse(body: &str) -> std::result::Result<Self, String> {
        let mut lines = body.lines();
        let now = lines.next().and_then(|line| line.strip_prefix("now "));
        let now = now.and_then(|now| now.parse().ok());
        let mut answer = Self {
            now: now.ok_or("the answer has no time")?,
            ..Self::default()
        };
        // The current section, and the replies in it.
        let (mut section, mut said) = (String::new(), Vec::new());
        let mut ended = false;
        for line in lines.filter(|line| !is_noise(line)) {
            let word = line.split_once(' ').map_or(line, |(word, _)| word);
            if !matches!(word, "list" | "key" | "more" | "part" | "run" | "end") {
                said.push(Reply::parse(line));
                continue;
            }
            answer.take(&section, word, std::mem::take(&mut said))?;
            match word {
                "list" => answer.keys.push(Keys::default()),
                "more" => answer.last()?.more = true,
                "end" => ended = true,
                _ => {}
            }
            line.clone_into(&mut section);
        }
        if !ended {
            return Err("the answer is incomplete".to_owned());
        }
        Ok(answer)
    }

    fn last(&mut self) -> std::result::Result<&mut Keys, String> {
        let last = self.keys.last_mut();
        last.ok_or_else(|| "the answer has a key outside a list".to_owned())
    }

    /// Stores the replies between the lines `section` and `word` of the script's output. An unknown section can only contain Valkey's
    /// refusal.
    fn take(
        &mut self,
        section: &str,
        word: &str,
        said: Vec<Reply>,
    ) -> std::result::Result<(), String> {
        match (section.strip_prefix("key "), section, word) {
            (Some(key), ..) => {
                let mut said = said.into_iter();
                let left = match said.next() {
                    Some(Reply::Integer(left)) => left,
                    other => return Err(reason(other.as_ref())),
                };
                let entry = Entry {
                    key: key.to_owned(),
                    left,
                    value: said.next().unwrap_or(Reply::Broken),
                };
                let keys = &mut self.last()?.entries;
                // Valkey may name a key twice.
                if !keys.iter().any(|known| known.key == entry.key) {
                    keys.push(entry);
                }
            }
            (None, "run", _) => self.replies = said,
            (None, _, "part") => self.events.push(said),
            (None, ..) if said.is_empty() => {}
            (None, ..) => return Err(reason(said.first())),
        }
        Ok(())
    }
}

/// A line without information: empty, or the time of a slow command, such as `(0.51s)`.
fn is_noise(line: &str) -> bool {
    let time = line
        .strip_prefix('(')
        .and_then(|line| line.strip_suffix("s)"));
    line.is_empty() || time.is_some_and(|time| time.parse::<f64>().is_ok())
}

/// Why a reply is unexpected, in Valkey's words.
pub(crate) fn reason(reply: Option<&Reply>) -> String {
    match reply {
        Some(Reply::Error(text) | Reply::Status(text)) => text.clone(),
        Some(other) => format!("unexpected answer {other:?}"),
        None => "no answer".to_owned(),
    }
}

/// Checks that a transaction of `count` commands was executed.
///
/// # Errors
/// With Valkey's message when it was not; then none of its commands was.
pub(crate) fn executed(replies: &[Reply], count: usize) -> std::result::Result<(), String> {
    let is = |reply: &Reply, word: &str| matches!(reply, Reply::Status(text) if text == word);
    let refused = replies.iter().find(|reply| match reply {
        Reply::Error(_) | Reply::Broken => true,
        Reply::Status(text) => !matches!(text.as_str(), "OK" | "QUEUED"),
        _ => false,
    });
    if let Some(refused) = refused {
        return Err(reason(Some(refused)));
    }
    let queued = replies.iter().filter(|reply| is(reply, "QUEUED")).count();
    let begun = replies.first().is_some_and(|reply| is(reply, "OK"));
    match begun && queued == count && replies.len() == 1 + 2 * count {
        true => Ok(()),
        false => Err("the transaction was not executed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(text.to_owned())
    }

    #[test]
    fn replies_are_parsed_as_valkey_cli_prints_them() {
        for (line, expected) in [
            (r#""a\"\\\n\x1b\xc3\xa9""#, text("a\"\\\n\u{1b}é")),
            (r#"12) "a) b""#, text("a) b")),
            (r#" 1) (integer) 3"#, Reply::Integer(3)),
            ("(integer) -2", Reply::Integer(-2)),
            ("(nil)", Reply::Nil),
            ("(empty array)", Reply::Nil),
            ("(error) NOPERM x", Reply::Error("NOPERM x".to_owned())),
            ("1) OK", Reply::Status("OK".to_owned())),
            // Truncated by the script, in a word or an escape, or not UTF-8.
            (r#""abc"#, Reply::Broken),
            (r#""abc\"#, Reply::Broken),
            (r#""abc\""#, Reply::Broken),
            (r#""ab\x1""#, Reply::Broken),
            (r#"""#, Reply::Broken),
            (r#""\xff""#, Reply::Broken),
            (r#""a"b""#, Reply::Broken),
            ("(integer) x", Reply::Broken),
        ] {
            assert_eq!(Reply::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn an_incomplete_answer_is_an_error() {
        let body = "now 17\nlist a:*\nkey a:1\n(integer) 60\n\"x\"\n\nkey a:2\n(integer) -2\n(nil)\n\nkey a:1\n\
            (integer) 60\n\"x\"\n\nmore\nlist b:*\nrun\n(nil)\n(0.51s)\n(integer) 4\n\nend";
        let answer = Answer::parse(body).unwrap();
        assert_eq!((answer.now, answer.keys.len()), (17, 2));
        let keys = &answer.keys[0];
        assert_eq!(
            (keys.entries.len(), keys.more, keys.entries[0].left),
            (2, true, 60)
        );
        assert_eq!(
            (&keys.entries[0].value, &keys.entries[1].value),
            (&text("x"), &Reply::Nil)
        );
        assert_eq!(answer.keys[1], Keys::default());
        assert_eq!(answer.replies, [Reply::Nil, Reply::Integer(4)]);
        let whole = "now 17\n1) \"a\"\n2) \"1\"\n\npart\n\npart\n\nend";
        let events = Answer::parse(whole).unwrap().events;
        assert_eq!(events, [vec![text("a"), text("1")], vec![]]);
        for (bad, why) in [
            ("", "no time"),
            ("now 17\nlist a\nkey a:1\n(integer) 60", "incomplete"),
            ("now 17\nlist a\n(error) NOAUTH x\n\nend", "NOAUTH x"),
            (
                "now 17\nlist a\n(error) NOAUTH x\nlist b\n\nend",
                "NOAUTH x",
            ),
            (
                "now 17\nlist a\nkey a:1\nCould not connect\n\nend",
                "Could not connect",
            ),
            ("now 17\nkey a:1\n(integer) 60\n\nend", "outside a list"),
        ] {
            let error = Answer::parse(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_transaction_is_executed_completely_or_not_at_all() {
        let replies = |lines: &str| lines.split(',').map(Reply::parse).collect::<Vec<_>>();
        let done = "OK,QUEUED,QUEUED,1) OK,2) (integer) 0";
        assert_eq!(executed(&replies(done), 2), Ok(()));
        for (lines, why) in [
            (
                "OK,QUEUED,(error) NOPERM del,(error) EXECABORT x",
                "NOPERM del",
            ),
            (
                "AUTH failed: WRONGPASS x,(error) NOAUTH y",
                "AUTH failed: WRONGPASS x",
            ),
            ("OK,QUEUED,QUEUED,(nil)", "not executed"),
            ("OK,QUEUED,1) OK", "not executed"),
        ] {
            let error = executed(&replies(lines), 2).unwrap_err();
            assert!(error.contains(why), "{lines}: {error}");
        }
    }
}
