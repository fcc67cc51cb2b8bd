//! A parser for shell scripts: commands with their words, pipes and substitutions.
//!
//! Accepts any text, and makes the best of scripts that a shell would refuse.

mod fetch;
mod image;
mod package;

use crate::mapped::Mapped;

pub(super) use fetch::{Found, scan};

/// One simple command.
#[derive(Debug, Default)]
struct Command {
    /// Its words, without quotes.
    words: Vec<Mapped>,
    /// The command whose output it reads.
    reads: Option<usize>,
    /// The command that it is substituted into.
    inside: Option<usize>,
}

/// Words before a command.
const KEYWORDS: [&str; 11] = [
    "if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "in",
];
/// Programs that run the command in their arguments, with their flags that take a value.
const WRAPPERS: [(&str, &[&str]); 12] = [
    (
        "sudo",
        &["-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T", "-U"],
    ),
    ("doas", &["-u", "-C"]),
    ("env", &["-u", "-C"]),
    ("exec", &["-a"]),
    ("command", &[]),
    ("builtin", &[]),
    ("nohup", &[]),
    ("busybox", &[]),
    ("nice", &["-n"]),
    ("timeout", &["-s", "-k"]),
    ("xargs", &["-n", "-P", "-I", "-a", "-d", "-E", "-L", "-s"]),
    ("retry", &["-t", "-d"]),
];

impl Command {
    /// The program without its directory, and its arguments.
    fn program(&self) -> Option<(&str, &[Mapped])> {
        let mut words = self.words.as_slice();
        while let [first, rest @ ..] = words {
            let name = first.text().rsplit('/').next().unwrap_or_default();
            words = rest;
            if KEYWORDS.contains(&name) || assigns(first.text()) {
                continue;
            }
            let Some((_, valued)) = WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name) else {
                return Some((name, rest));
            };
            words = after_flags(words, valued);
            if name == "timeout" {
                words = words.get(1..).unwrap_or_default();
            }
        }
        None
    }
}

/// Whether a word is `NAME=value`.
fn assigns(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The words after the flags. The flags in `valued` take the next word.
fn after_flags<'a>(words: &'a [Mapped], valued: &[&str]) -> &'a [Mapped] {
    let mut at = 0;
    while let Some(word) = words.get(at).map(Mapped::text) {
        if !word.starts_with('-') || word == "-" {
            break;
        }
        at += 1;
        if word == "--" {
            break;
        }
        at += usize::from(valued.contains(&word));
    }
    words.get(at..).unwrap_or_default()
}

/// The limit of nested substitutions and groups.
const DEEPEST: usize = 64;

/// The commands of a script, in the order of their first bytes; `None` if it nests too deeply.
fn commands(script: &Mapped) -> Option<Vec<Command>> {
    let mut lexer = Lexer {
        script,
        at: 0,
        depth: 0,
        ticks: 0,
        too_deep: false,
        commands: Vec::new(),
        documents: Vec::new(),
    };
    while lexer.at < script.text().len() {
        lexer.list(None, None);
    }
    (!lexer.too_deep).then_some(lexer.commands)
}

struct Lexer<'a> {
    script: &'a Mapped,
    at: usize,
    depth: usize,
    /// How many backquotes are open.
    ticks: usize,
    too_deep: bool,
    commands: Vec<Command>,
    /// The end words of the here-documents of this line, and whether tabs may precede them.
    documents: Vec<(String, bool)>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.script.text()[self.at..]
    }

    fn take(&mut self, sign: &str) -> bool {
        let taken = self.rest().starts_with(sign);
        self.at += if taken { sign.len() } else { 0 };
        taken
    }

    /// Runs `read` one level deeper. Beyond the limit, skips the rest of the script.
    fn deeper(&mut self, read: impl FnOnce(&mut Self)) {
        if self.depth == DEEPEST {
            self.too_deep = true;
            self.at = self.script.text().len();
            return;
        }
        self.depth += 1;
        read(self);
        self.depth -= 1;
    }

    /// Reads commands up to `end`, or to the end of the script.
    fn list(&mut self, end: Option<char>, inside: Option<usize>) {
        let mut current: Option<usize> = None;
        let mut reads = None;
        while let Some(c) = self.rest().chars().next() {
            if Some(c) == end {
                self.at += 1;
                return;
            }
            let sign = c.is_whitespace() || "\\|&;<>()}#`".contains(c);
            match c {
                _ if !sign => self.one_word(&mut current, reads, inside),
                _ if self.take("\\\n") => {}
                _ if self.take("||") || self.take("&&") || self.take(";") || self.take("&") => {
                    (current, reads) = (None, None);
                }
                _ if self.take("|&") || self.take("|") => {
                    reads = current.take().or(self.commands.len().checked_sub(1));
                }
                _ if self.take("\n") => {
                    self.skip_documents();
                    // A pipe continues on the next line.
                    reads = if current.is_some() { None } else { reads };
                    current = None;
                }
                _ if self.take("<(") || self.take(">(") => {
                    let outer = self.open(&mut current, reads, inside);
                    self.deeper(|lexer| lexer.list(Some(')'), Some(outer)));
                }
                // It closes the enclosing substitution.
                '`' if self.ticks > 0 => return,
                '<' | '>' => self.redirect(inside),
                '(' => {
                    self.at += 1;
                    self.deeper(|lexer| lexer.list(Some(')'), inside));
                    current = None;
                }
                ')' | '}' => {
                    self.at += 1;
                    current = None;
                }
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                c if c.is_whitespace() => self.at += c.len_utf8(),
                _ => self.one_word(&mut current, reads, inside),
            }
        }
    }

    fn one_word(
        &mut self,
        current: &mut Option<usize>,
        reads: Option<usize>,
        inside: Option<usize>,
    ) {
        let outer = self.open(current, reads, inside);
        let word = self.word(outer);
        self.commands[outer].words.push(word);
    }

    fn open(
        &mut self,
        current: &mut Option<usize>,
        reads: Option<usize>,
        inside: Option<usize>,
    ) -> usize {
        *current.get_or_insert_with(|| {
            self.commands.push(Command {
                words: Vec::new(),
                reads,
                inside,
            });
            self.commands.len() - 1
        })
    }

    /// A redirection with its word.
    fn redirect(&mut self, inside: Option<usize>) {
        let document = self.rest().starts_with("<<") && !self.rest().starts_with("<<<");
        while self.rest().starts_with(['<', '>', '&', '|']) {
            self.at += 1;
        }
        let tabs = document && self.take("-");
        while self.rest().starts_with([' ', '\t']) {
            self.at += 1;
        }
        // Substitutions in this word run, but no program reads their output as code.
        self.commands.push(Command {
            inside,
            ..Command::default()
        });
        let word = self.word(self.commands.len() - 1);
        if document {
            self.documents.push((word.text().to_owned(), tabs));
        }
    }

    /// Skips the here-documents of the previous line.
    fn skip_documents(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.documents) {
            while !self.rest().is_empty() {
                let length = self
                    .rest()
                    .find('\n')
                    .map_or(self.rest().len(), |at| at + 1);
                let line = self.rest()[..length].trim_end_matches(['\n', '\r']);
                let line = if tabs {
                    line.trim_start_matches('\t')
                } else {
                    line
                };
                let ends = line == end;
                self.at += length;
                if ends {
                    break;
                }
            }
        }
    }

    /// One word of the command `outer`. Adds the commands of its substitutions.
    fn word(&mut self, outer: usize) -> Mapped {
        let mut word = Mapped::default();
        let mut double = false;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            match c {
                '"' => {
                    double = !double;
                    self.at += 1;
                }
                '\'' if !double => {
                    let length = self.rest()[1..].find('\'');
                    let length = length.unwrap_or(self.rest().len() - 1);
                    word.append_part(self.script, start + 1..start + 1 + length);
                    self.at = (start + length + 2).min(self.script.text().len());
                }
                '\\' => {
                    self.at += 1;
                    let next = self.rest().chars().next().map_or(0, char::len_utf8);
                    if !self.rest().starts_with('\n') {
                        word.append_part(self.script, self.at..self.at + next);
                    }
                    self.at += next;
                }
                '`' if self.ticks > 0 => break,
                '$' | '`' if self.substitution(outer) => {
                    word.append_part(self.script, start..self.at);
                }
                _ if !double && (c.is_whitespace() || ";&|()<>".contains(c)) => break,
                _ => {
                    // Up to the next special character; whitespace is special outside of quotes.
                    let special =
                        |c: char| "\"'\\$`;&|()<>".contains(c) || (!double && c.is_whitespace());
                    let length = self.rest()[c.len_utf8()..].find(special);
                    let length = length.map_or(self.rest().len(), |found| found + c.len_utf8());
                    self.at += length;
                    word.append_part(self.script, start..self.at);
                }
            }
        }
        word
    }

    /// `$(...)`, `` `...` `` or `${...}`. Returns whether there was one.
    fn substitution(&mut self, outer: usize) -> bool {
        if self.take("$(") {
            self.deeper(|lexer| lexer.list(Some(')'), Some(outer)));
        } else if self.take("${") {
            self.deeper(|lexer| lexer.parameter(outer));
        } else if self.take("`") {
            self.ticks += 1;
            self.deeper(|lexer| lexer.list(Some('`'), Some(outer)));
            self.ticks -= 1;
        } else {
            return false;
        }
        true
    }

    /// The text after `${`, up to its `}`.
    fn parameter(&mut self, outer: usize) {
        let mut open = 1;
        while let (1.., Some(c)) = (open, self.rest().chars().next()) {
            if c == '$' && self.substitution(outer) {
                continue;
            }
            open += i32::from(c == '{') - i32::from(c == '}');
            self.at += c.len_utf8();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands as `program:arguments`, with `<` and the command that they read, and `@` and the one around them.
    fn seen(text: &str) -> Vec<String> {
        let commands = commands(&Mapped::of(text, 0..text.len())).unwrap();
        let seen = commands.iter().map(|command| {
            let (name, words) = command.program().unwrap_or_default();
            let words: Vec<&str> = words.iter().map(Mapped::text).collect();
            let mut seen = format!("{name}:{}", words.join(","));
            for (sign, other) in [('<', command.reads), ('@', command.inside)] {
                if let Some(other) = other {
                    seen.push_str(&format!(" {sign}{other}"));
                }
            }
            seen
        });
        seen.collect()
    }

    #[test]
    fn commands_are_found_in_every_position() {
        for (script, expected) in [
            ("a b; c && d || e & f", &["a:b", "c:", "d:", "e:", "f:"][..]),
            ("a |\n # c\n b |& /x/c", &["a:", "b: <0", "c: <1"]),
            ("if x; then V=1 a; fi", &["x:", "a:", "fi:"]),
            ("sudo -E -u r a -b", &["a:-b"]),
            ("timeout -k 1 5 a", &["a:"]),
            (
                "a \"$(b 'c d' | e)\" <(f)",
                &["a:$(b 'c d' | e)", "b:c d @0", "e: <1 @0", "f: @0"],
            ),
            ("x=`a b`", &[":", "a:b @0"]),
            (
                "a ${V:-$(b)} $((1 + 2))",
                &["a:${V:-$(b)},$((1 + 2))", "b: @0", "1:+,2 @0"],
            ),
            ("a <<E > f; b\nc | sh\nE\nd", &["a:", ":", ":", "b:", "d:"]),
            ("a # b | c\n'd' \\\n e\\ f", &["a:", "d:e f"]),
            ("case x in a) b;; esac", &["case:x,in,a", "b:", "esac:"]),
            ("(a; b) | c", &["a:", "b:", "c: <1"]),
            ("x() { a; }", &["x:", "a:"]),
            ("a 'open", &["a:open"]),
        ] {
            assert_eq!(seen(script), expected, "{script}");
        }
        for sign in ["$(", "${", "(", "`$(", "<("] {
            let deep = sign.repeat(100_000);
            assert!(
                commands(&Mapped::of(&deep, 0..deep.len())).is_none(),
                "{sign}"
            );
        }
    }
}
