//! What a Dockerfile fetches: base images, images that it copies from, its own syntax, files.
//!
//! Follows Docker's rules for comments, directives, continuation lines, here-documents, stages
//! and `ARG` defaults; what cannot be followed is a finding, so that no image is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use polis_base::Digest;

use super::collect::{Collector, split};
use super::model::{At, Download, Part, Use, What};
use super::{Argument, Builds};
use crate::compose::reference_in;
use crate::source::Source;

/// Collects the pins of `source`, which compose files build as `builds` say.
pub(super) fn extract(source: &Source, builds: &Builds, into: &mut Collector) {
    let (escape, syntax) = directives(&source.text);
    let mut reader = Reader {
        source,
        into,
        builds,
        names: builds.contexts.clone(),
        arguments: BTreeMap::new(),
        stage: None,
    };
    if let Some(span) = syntax {
        reader.image(span, "syntax of the Dockerfile");
    }
    let (instructions, open) = instructions(&source.text, escape);
    for words in instructions {
        reader.instruction(&words);
    }
    if let Some(start) = open {
        let at = At::new(source, start..start);
        into.error(
            "dockerfile",
            &at,
            "a here-document that begins here does not end",
        );
        return;
    }
    if reader.stage.is_none() {
        let at = At::new(source, 0..0);
        into.error("dockerfile", &at, "the Dockerfile has no `FROM`");
    }
}

/// The words of one instruction, as their bytes in the file.
type Words = Vec<Range<usize>>;

struct Reader<'a> {
    source: &'a Source,
    into: &'a mut Collector,
    builds: &'a Builds,
    /// Names of stages and contexts, in lower case: what follows `--from=` and is no image.
    names: BTreeSet<String>,
    /// The defaults of the `ARG`s before the first `FROM`, which alone count in a `FROM`.
    arguments: BTreeMap<&'a str, Range<usize>>,
    stage: Option<String>,
}

impl<'a> Reader<'a> {
    fn text(&self, span: Range<usize>) -> &'a str {
        &self.source.text[span]
    }

    fn instruction(&mut self, words: &[Range<usize>]) {
        let Some((first, rest)) = words.split_first() else {
            return;
        };
        match self.text(first.clone()).to_ascii_uppercase().as_str() {
            "ARG" if self.stage.is_none() => self.argument(rest),
            "FROM" => self.from(rest),
            "ONBUILD" => self.instruction(rest),
            "COPY" => self.copied(rest),
            "ADD" => {
                self.copied(rest);
                self.added(rest);
            }
            "RUN" => self.mounted(rest),
            _ => {}
        }
    }

    fn argument(&mut self, words: &[Range<usize>]) {
        for word in words {
            if let Some((name, value)) = self.text(word.clone()).split_once('=') {
                let start = word.start + name.len() + 1;
                self.arguments.insert(name, unquoted(value, start));
            }
        }
    }

    fn from(&mut self, words: &[Range<usize>]) {
        let mut words = words
            .iter()
            .skip_while(|word| self.source.text[(*word).clone()].starts_with("--"));
        let image = words.next().cloned();
        let named = words
            .next()
            .is_some_and(|word| self.text(word.clone()).eq_ignore_ascii_case("as"));
        let name = words.next().filter(|_| named);
        let name = name.map(|word| self.text(word.clone()).to_ascii_lowercase());
        let by = match &name {
            Some(name) => format!("stage {name}"),
            None => "Dockerfile".to_owned(),
        };
        if let Some(image) = image {
            let image = unquoted(self.text(image.clone()), image.start);
            let image = self.argument_in(image, &by);
            let text = self.text(image.clone());
            if text != "scratch" && !self.names.contains(&text.to_ascii_lowercase()) {
                self.image(image, &by);
            }
        }
        self.names.extend(name);
        self.stage = Some(by);
    }

    /// Of `$NAME`, `${NAME}` and `${NAME:-reference}` the default of that `ARG`, which goes before
    /// the one beside its use; else the word itself. What compose files set instead is added.
    fn argument_in(&mut self, word: Range<usize>, by: &str) -> Range<usize> {
        let Some(rest) = self.text(word.clone()).strip_prefix('$') else {
            return word;
        };
        let rest = rest.trim_start_matches('{');
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if !matches!(rest, "" | "}") && !rest.starts_with([':', '-']) {
            return word;
        }
        let key = (self.source.path.clone(), name.to_owned());
        for argument in self.builds.arguments.get(&key).into_iter().flatten() {
            self.set_elsewhere(argument, name, by);
        }
        self.arguments.get(name).cloned().unwrap_or(word)
    }

    fn set_elsewhere(&mut self, argument: &Argument, name: &str, by: &str) {
        let Argument { source, span } = argument;
        match span {
            Some(span) => {
                let inner = reference_in(&source.text[span.clone()]);
                let span = span.start + inner.start..span.start + inner.end;
                self.into.base(source, span, by);
            }
            None => {
                let at = At::new(source, 0..0);
                let message = format!(
                    "the image of {by} is the argument `{name}`, which is no plain text here"
                );
                self.into.error("image-reference", &at, message);
            }
        }
    }

    fn copied(&mut self, words: &[Range<usize>]) {
        for word in words {
            let text = self.text(word.clone());
            if let Some(from) = text.strip_prefix("--from=") {
                self.other(word.end - from.len()..word.end);
            }
        }
    }

    fn mounted(&mut self, words: &[Range<usize>]) {
        for word in words {
            let text = self.text(word.clone());
            let Some(options) = text.strip_prefix("--mount=") else {
                continue;
            };
            let mut at = word.end - options.len();
            for option in options.split(',') {
                if let Some(from) = option.strip_prefix("from=") {
                    let end = at + option.len();
                    self.other(end - from.len()..end);
                }
                at += option.len() + 1;
            }
        }
    }

    /// What stands behind `from=`: a stage by name or number, a context, or an image.
    fn other(&mut self, span: Range<usize>) {
        let span = unquoted(self.text(span.clone()), span.start);
        let text = self.text(span.clone());
        let stage = text.bytes().all(|byte| byte.is_ascii_digit())
            || self.names.contains(&text.to_ascii_lowercase());
        if !stage {
            let by = self.stage.clone().unwrap_or_default();
            self.image(span, &by);
        }
    }

    /// Files that `ADD` fetches must carry their checksum.
    fn added(&mut self, words: &[Range<usize>]) {
        let mut checksum = None;
        for word in words {
            let text = self.text(word.clone());
            if let Some(sum) = text.strip_prefix("--checksum=") {
                checksum = Some(word.end - sum.len()..word.end);
            }
            if ["http://", "https://", "git@", "git://"]
                .iter()
                .any(|start| text.starts_with(start))
            {
                self.download(word.clone(), checksum.clone());
            }
        }
    }

    fn download(&mut self, url: Range<usize>, checksum: Option<Range<usize>>) {
        let at = At::new(self.source, url.clone());
        let url = self.text(url);
        let sha256 = checksum
            .clone()
            .map(|span| self.text(span).parse::<Digest>());
        let (Some(Ok(sha256)), Some(span)) = (&sha256, checksum) else {
            let why = match sha256 {
                Some(Err(error)) => error.to_string(),
                _ => "has no `--checksum=sha256:...`".to_owned(),
            };
            return self
                .into
                .error("unpinned-download", &at, format!("`{url}`: {why}"));
        };
        let by = self.stage.clone().unwrap_or_default();
        let what = What::Download(Download {
            tool: url.to_owned(),
            version: None,
            architecture: None,
            url: url.to_owned(),
            sha256: *sha256,
        });
        let a_use = |part, at| Use {
            part,
            by: by.clone(),
            at,
        };
        let checksum = a_use(Part::Checksum, At::new(self.source, span));
        self.into.pin(what, [a_use(Part::Url, at), checksum]);
    }

    fn image(&mut self, span: Range<usize>, by: &str) {
        let inner = reference_in(self.text(span.clone()));
        let span = span.start + inner.start..span.start + inner.end;
        self.into.base(self.source, span, by);
    }
}

/// The bytes of `text`, which starts at `start`, without the quotes around it.
fn unquoted(text: &str, start: usize) -> Range<usize> {
    for quote in ['"', '\''] {
        let inside = text
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if inside.is_some() {
            return start + 1..start + text.len() - 1;
        }
    }
    start..start + text.len()
}

/// The escape character and the bytes of the `syntax` reference: directives stand before
/// everything else, each as a comment of its own form.
fn directives(text: &str) -> (char, Option<Range<usize>>) {
    let (mut escape, mut syntax) = ('\\', None);
    let mut at = 0;
    for raw in text.split_inclusive('\n') {
        let start = at;
        at += raw.len();
        let Some((name, value)) = raw
            .trim()
            .strip_prefix('#')
            .and_then(|comment| comment.split_once('='))
        else {
            break;
        };
        let value_start = start + raw.find('=').unwrap_or(0) + 1;
        let blank = value.len() - value.trim_start().len();
        match name.trim().to_ascii_lowercase().as_str() {
            "syntax" => {
                let length = value.trim().len();
                syntax = Some(value_start + blank..value_start + blank + length);
            }
            "escape" => escape = value.trim().chars().next().unwrap_or(escape),
            "check" => {}
            _ => break,
        }
    }
    (escape, syntax)
}

/// The instructions: continuation lines joined, comments and here-documents left out. Where one
/// of these does not end, also the byte at which its instruction begins.
fn instructions(text: &str, escape: char) -> (Vec<Words>, Option<usize>) {
    let mut all = Vec::new();
    let mut words = Words::new();
    let mut documents: Vec<String> = Vec::new();
    let mut at = 0;
    let mut continued = false;
    for raw in text.split_inclusive('\n') {
        let start = at;
        at += raw.len();
        let line = raw.trim();
        if let Some(end) = documents.first() {
            if line == end {
                documents.remove(0);
            }
            continue;
        }
        if line.starts_with('#') || (line.is_empty() && continued) {
            continue;
        }
        let (part, goes_on) = match line.strip_suffix(escape) {
            Some(part) => (part, true),
            None => (line, false),
        };
        let first = start + raw.len() - raw.trim_start().len();
        split(part, first, &mut words);
        continued = goes_on;
        if !goes_on {
            documents = here_documents(text, &words);
            all.push(std::mem::take(&mut words));
        }
    }
    let open = all.last().filter(|_| !documents.is_empty());
    let open = open.and_then(|words: &Words| words.first().map(|word| word.start));
    all.push(words);
    all.retain(|words| !words.is_empty());
    (all, open)
}

/// The words that end the here-documents which an instruction opens.
fn here_documents(text: &str, words: &[Range<usize>]) -> Vec<String> {
    let opens = words.first().is_some_and(|word| {
        let word = text[word.clone()].to_ascii_uppercase();
        matches!(word.as_str(), "RUN" | "COPY" | "ADD" | "ONBUILD")
    });
    let ends = words.iter().filter(|_| opens).filter_map(|word| {
        // Docker's own rule: a word that begins so, maybe behind the number of a descriptor.
        let (descriptor, end) = text[word.clone()].split_once("<<")?;
        let descriptor = descriptor.bytes().all(|byte| byte.is_ascii_digit());
        let end = end.trim_start_matches('-').trim_matches(['"', '\'']);
        let named = end.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        (named && descriptor).then(|| end.to_owned())
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn extracted(text: &str) -> (Vec<String>, Vec<String>) {
        let source = Source {
            path: "x/Dockerfile".to_owned(),
            text: text.to_owned(),
        };
        let mut collector = Collector::default();
        let builds = Builds {
            contexts: BTreeSet::from(["ctx".to_owned()]),
            arguments: BTreeMap::new(),
        };
        extract(&source, &builds, &mut collector);
        let uses = collector.pins.iter().flat_map(|pin| &pin.uses);
        let uses = uses.map(|found| {
            let place = &found.at.place;
            format!(
                "{}:{} {}: {}",
                place.line,
                place.column,
                found.by,
                &text[found.at.span.clone()]
            )
        });
        let findings = collector.findings.iter().map(|finding| {
            let place = finding.place.as_ref().unwrap();
            format!("{}:{} {}", place.line, place.column, finding.rule)
        });
        (uses.collect(), findings.collect())
    }

    #[test]
    fn every_image_of_a_dockerfile_is_found_in_its_place() {
        let text = format!(
            "# syntax = v.example/dockerfile:1\r\n# escape=`\r\nARG BASE=\"v.example/base:1\"\r\nARG TAG=1\r\n\
             FROM --platform=$BUILDPLATFORM `\r\n  # a comment inside\r\n  v.example/go:1 AS Build\r\n\
             RUN --mount=type=bind,from=v.example/tool:1,target=/t true && echo `\r\n  FROM nothing\r\n\
             RUN <<EOF cat 3<<-'TWO'\r\nFROM v.example/not:1\r\nEOF\r\n\tTWO\r\nRUN echo $((x<<y))\r\n\
             FROM build as again\r\nFROM ${{BASE}}\r\nCOPY --from=build /a /a\r\nCOPY --from=0 /a /b\r\n\
             COPY --from=ctx /a /c\r\nCOPY --from=v.example/copy:1 /a /d\r\n\
             ADD --checksum=sha256:{HEX} https://v.example/f /f\r\nFROM $BASE\r\nFROM ${{OTHER:-v.example/other:1}}\r\nFROM scratch"
        );
        let (uses, findings) = extracted(&text);
        let expected = [
            "1:12 syntax of the Dockerfile: v.example/dockerfile:1".to_owned(),
            "7:3 stage build: v.example/go:1".to_owned(),
            "8:28 stage build: v.example/tool:1".to_owned(),
            "3:11 Dockerfile: v.example/base:1".to_owned(),
            "20:13 Dockerfile: v.example/copy:1".to_owned(),
            "21:88 Dockerfile: https://v.example/f".to_owned(),
            format!("21:16 Dockerfile: sha256:{HEX}"),
            "23:15 Dockerfile: v.example/other:1".to_owned(),
        ];
        assert_eq!(uses, expected);
        assert_eq!(findings, [""; 0]);
    }

    #[test]
    fn what_cannot_be_followed_is_a_finding() {
        for (text, finding) in [
            ("# nothing\n", "1:1 dockerfile"),
            ("FROM debian:12\n", "1:6 image-reference"),
            ("ARG V=1\nFROM v.example/a:${V}\n", "2:6 image-reference"),
            ("FROM $MISSING\n", "1:6 image-reference"),
            (
                "FROM scratch\nRUN <<EOF\nFROM v.example/a:1\n",
                "2:1 dockerfile",
            ),
            (
                "FROM scratch\nCOPY --from=typo /a /a\n",
                "2:13 image-reference",
            ),
            (
                "FROM scratch\nONBUILD COPY --from=typo /a /a\n",
                "2:21 image-reference",
            ),
            (
                "FROM scratch\nADD https://v.example/f /f\n",
                "2:5 unpinned-download",
            ),
            (
                "FROM scratch\nADD --checksum=sha256:00 https://v.example/f /f\n",
                "2:26 unpinned-download",
            ),
        ] {
            assert_eq!(extracted(text).1, [finding], "{text}");
        }
    }
}
