//! The reader of Dockerfiles: directives, instructions with their flags, here-documents.
//!
//! Follows BuildKit's parser (moby/buildkit, `frontend/dockerfile/parser`), surprises included: a doubled escape
//! character does not continue a line, joined lines keep their whitespace, comments between them vanish, flags lose
//! their quotes, and any unquoted word may open a here-document. The crate `parse-dockerfile` (0.1.9) differs: it takes
//! an instruction after `\\` for a part of the previous one.

use std::ops::Range;

use crate::mapped::Mapped;

/// A parsed Dockerfile.
#[derive(Debug)]
pub struct Dockerfile {
    /// The bytes of the reference in a `syntax` directive.
    pub syntax: Option<Range<usize>>,
    /// The instructions, in order.
    pub instructions: Vec<Instruction>,
    /// The start of an instruction whose here-document is not closed.
    pub open: Option<usize>,
}

/// One instruction, with its lines joined.
#[derive(Debug)]
pub struct Instruction {
    /// Its name, in upper case.
    pub keyword: String,
    /// Its first byte in the file.
    pub start: usize,
    /// The leading flags.
    pub flags: Vec<Flag>,
    /// The text after the flags.
    pub rest: Mapped,
    /// The texts of its here-documents.
    pub documents: Vec<Mapped>,
}

/// `--name=value`, without quotes.
#[derive(Debug)]
pub struct Flag {
    /// The text between `--` and `=`.
    pub name: String,
    /// The text after `=`; empty without one.
    pub value: Mapped,
}

impl Instruction {
    /// Splits the words of one instruction.
    fn new(line: &Mapped) -> Self {
        let line = line.trimmed();
        let blank = line.text().find(char::is_whitespace);
        let end = blank.unwrap_or(line.text().len());
        let (flags, rest) = flags(&line.slice(end..line.text().len()));
        Self {
            keyword: line.text()[..end].to_ascii_uppercase(),
            start: line.start().unwrap_or(0),
            flags,
            rest,
            documents: Vec::new(),
        }
    }

    /// The instruction of `ONBUILD`.
    pub fn inner(&self) -> Self {
        Self {
            documents: self.documents.clone(),
            ..Self::new(&self.rest)
        }
    }
}

/// Splits the leading words that start with `--` from `text`.
fn flags(text: &Mapped) -> (Vec<Flag>, Mapped) {
    let mut flags = Vec::new();
    let mut rest = text.trimmed();
    while rest.text().starts_with("--") {
        let raw = rest.raw_words().swap_remove(0);
        let length = raw.text().len();
        let word = raw.words().swap_remove(0);
        rest = rest.slice(length..rest.text().len()).trimmed();
        if word.text() == "--" {
            break;
        }
        let word = word.slice(2..word.text().len());
        let (name, value) = word.split_once('=').unwrap_or((word, Mapped::default()));
        flags.push(Flag {
            name: name.text().to_owned(),
            value,
        });
    }
    (flags, rest)
}

/// Reads a Dockerfile. Accepts any text; nonsense becomes an instruction with an unknown keyword.
pub fn read(text: &str) -> Dockerfile {
    let (escape, syntax) = directives(text);
    let mut lines = Lines { text, at: 0 };
    let mut instructions = Vec::new();
    let mut open = None;
    while let Some(line) = lines.logical(escape) {
        let mut instruction = Instruction::new(&line);
        let takes = ["RUN", "COPY", "ADD", "ONBUILD"].contains(&instruction.keyword.as_str());
        for end in line.raw_words().iter().filter(|_| takes).filter_map(here) {
            match lines.document(&end) {
                Some(document) => instruction.documents.push(document),
                None => open = open.or(Some(instruction.start)),
            }
        }
        instructions.push(instruction);
    }
    Dockerfile {
        syntax,
        instructions,
        open,
    }
}

/// The end of a here-document.
struct End {
    name: String,
    /// Whether tabs may precede it, as with `<<-`.
    tabs: bool,
}

/// The here-document that a word opens: `<<EOF`, `3<<-'EOF'`.
fn here(word: &Mapped) -> Option<End> {
    let (descriptor, name) = word.text().split_once("<<")?;
    let digits = descriptor.bytes().all(|byte| byte.is_ascii_digit());
    let tabs = name.starts_with('-');
    let name = name.strip_prefix('-').unwrap_or(name);
    if !digits || name.is_empty() || name.contains('<') {
        return None;
    }
    match Mapped::of(name, 0..name.len()).words().as_slice() {
        [name] => Some(End {
            name: name.text().to_owned(),
            tabs,
        }),
        _ => None,
    }
}

/// The lines of the file that are still to be read.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl Lines<'_> {
    /// The bytes of the next line, without its end.
    fn next(&mut self) -> Option<Range<usize>> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let start = self.at;
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.at += length;
        Some(start..start + rest[..length].trim_end_matches(['\n', '\r']).len())
    }

    /// The next instruction in one line; comments and empty lines left out.
    fn logical(&mut self, escape: char) -> Option<Mapped> {
        let mut line: Option<Mapped> = None;
        while let Some(span) = self.next() {
            let raw = &self.text[span.clone()];
            let raw = raw.strip_prefix('\u{feff}').unwrap_or(raw);
            let trimmed = raw.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            // Blanks before a joined line stay: they may be what ends a word.
            let raw = if line.is_none() { trimmed } else { raw };
            let kept = continued(raw, escape);
            let start = span.end - raw.len();
            line.get_or_insert_default()
                .push(kept.unwrap_or(raw), start);
            if kept.is_none() {
                break;
            }
        }
        line
    }

    /// The text up to `end`; `None` if the file ends first.
    fn document(&mut self, end: &End) -> Option<Mapped> {
        let mut document = Mapped::default();
        while let Some(span) = self.next() {
            let line = &self.text[span.clone()];
            let bare = if end.tabs {
                line.trim_start_matches('\t')
            } else {
                line
            };
            if bare == end.name {
                return Some(document);
            }
            document.push(&self.text[span.start..self.at], span.start);
        }
        None
    }
}

/// The line without the escape character that continues it on the next; `None` if it ends here.
fn continued(line: &str, escape: char) -> Option<&str> {
    let kept = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!kept.ends_with(escape)).then_some(kept)
}

/// The escape character and the bytes of the `syntax` reference.
///
/// Directives are the leading comments of the form `# name=value`, with any name. BuildKit also finds `syntax` after a line
/// with `#!`, and in comments with `//`.
fn directives(text: &str) -> (char, Option<Range<usize>>) {
    let (mut escape, mut syntax) = ('\\', None);
    let mut lines = Lines { text, at: 0 };
    let mut after_shebang = false;
    while let Some(span) = lines.next() {
        let line = &text[span.clone()];
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if line.starts_with("#!") && span.start == 0 {
            after_shebang = true;
            continue;
        }
        let comment = line.trim_start();
        let comment = comment.strip_prefix('#').or(comment.strip_prefix("//"));
        let Some((name, value)) = comment.and_then(|comment| comment.split_once('=')) else {
            break;
        };
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            break;
        }
        let start = span.end - value.trim_start().len();
        match name.to_ascii_lowercase().as_str() {
            "syntax" => {
                syntax.get_or_insert(start..start + value.trim().len());
            }
            "escape" if !after_shebang && !line.starts_with("//") => {
                escape = value.trim().chars().next().unwrap_or(escape);
            }
            _ => {}
        }
    }
    (escape, syntax)
}
