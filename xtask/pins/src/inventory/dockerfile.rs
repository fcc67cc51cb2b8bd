//! Pins of a Dockerfile: base images, images that it copies from, its syntax, files, packages.
//!
//! A construct that cannot be analyzed is a finding, never skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use polis_base::Digest;

use super::collect::Collector;
use super::model::{Dependency, Download, Field, Occurrence};
use super::remote::{self, Values};
use super::scripts;
use super::stack::{Argument, Builds};
use crate::compose::reference_in;
use crate::dockerfile::reader::{self, Instruction};
use crate::mapped::Mapped;
use xtask_host::finding::Finding;
use xtask_host::source::Source;

/// Instructions that fetch nothing during the build.
const OTHERS: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Collects the pins of `source`. `builds` has the arguments and contexts that compose files give it.
pub(super) fn extract(source: &Source, builds: &Builds, into: &mut Collector) {
    let dockerfile = reader::read(&source.text);
    let mut reader = Reader {
        source,
        into,
        builds,
        names: builds.contexts.clone(),
        arguments: BTreeMap::new(),
        values: Values::default(),
        stage: None,
    };
    if let Some(span) = dockerfile.syntax {
        reader.image(span, "syntax of the Dockerfile");
    }
    for instruction in &dockerfile.instructions {
        reader.instruction(instruction);
    }
    let began = reader.stage.is_some();
    if let Some(start) = dockerfile.open {
        let at = into.at(source, start..start);
        into.error(
            "dockerfile",
            &at,
            "the here-document that begins here is not closed",
        );
    } else if !began {
        let at = into.at(source, 0..0);
        into.error("dockerfile", &at, "the Dockerfile has no `FROM`");
    }
}

struct Reader<'a> {
    source: &'a Source,
    into: &'a mut Collector,
    builds: &'a Builds,
    /// Names of stages and contexts, in lower case, which `--from=` may name instead of an image.
    names: BTreeSet<String>,
    /// The defaults of the `ARG`s before the first `FROM`: the only ones that `FROM` can use.
    arguments: BTreeMap<String, Mapped>,
    /// The values of every `ARG` and `ENV` in the file.
    values: Values,
    stage: Option<String>,
}

impl<'a> Reader<'a> {
    fn text(&self, span: Range<usize>) -> &'a str {
        &self.source.text[span]
    }

    fn instruction(&mut self, instruction: &Instruction) {
        match instruction.keyword.as_str() {
            "ARG" => self.assigned(instruction, true),
            "ENV" => self.assigned(instruction, false),
            "FROM" => self.from(&instruction.rest),
            "ONBUILD" => self.instruction(&instruction.inner()),
            "COPY" => self.copied(instruction),
            "ADD" => {
                self.copied(instruction);
                self.added(instruction);
            }
            "RUN" => self.run(instruction),
            keyword if OTHERS.contains(&keyword) => {}
            keyword => {
                let end = instruction.start + self.keyword_length(instruction);
                let at = self.into.at(self.source, instruction.start..end);
                let message = format!("unknown instruction `{keyword}`");
                self.into.error("dockerfile", &at, message);
            }
        }
    }

    fn keyword_length(&self, instruction: &Instruction) -> usize {
        let rest = &self.source.text[instruction.start..];
        rest.find(char::is_whitespace).unwrap_or(rest.len())
    }

    /// `NAME=value ...`, and for `ENV` also `NAME value`.
    fn assigned(&mut self, instruction: &Instruction, argument: bool) {
        let words = instruction.rest.words();
        let old = !argument && words.first().is_some_and(|word| !word.text().contains('='));
        if let (true, Some((name, value))) = (old, instruction.rest.split_once(' ')) {
            self.values.add(name.text(), value.trimmed().text());
            return;
        }
        for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
            self.values.add(name.text(), value.text());
            if argument && self.stage.is_none() {
                self.arguments.insert(name.text().to_owned(), value);
            }
        }
    }

    fn from(&mut self, rest: &Mapped) {
        let words = rest.words();
        let name = match words.as_slice() {
            [_, word, name, ..] if word.text().eq_ignore_ascii_case("as") => {
                Some(name.text().to_ascii_lowercase())
            }
            _ => None,
        };
        let by = match &name {
            Some(name) => format!("stage {name}"),
            None => "Dockerfile".to_owned(),
        };
        if let Some(image) = words.first() {
            let image = self.argument_in(image, &by);
            let text = image.text();
            if text != "scratch" && !self.names.contains(&text.to_ascii_lowercase()) {
                self.word(&image, &by);
            }
        }
        self.names.extend(name);
        self.stage = Some(by);
    }

    /// For `$NAME`, `${NAME}` and `${NAME:-reference}` the default of the `ARG`, which takes precedence over the one in
    /// the word; else the word. Also adds the values that compose files set.
    fn argument_in(&mut self, word: &Mapped, by: &str) -> Mapped {
        let Some(rest) = word.text().strip_prefix('$') else {
            return word.clone();
        };
        let rest = rest.trim_start_matches('{');
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if !matches!(rest, "" | "}") && !rest.starts_with([':', '-']) {
            return word.clone();
        }
        let key = (self.source.path.clone(), name.to_owned());
        for argument in self.builds.arguments.get(&key).into_iter().flatten() {
            self.set_elsewhere(argument, name, by);
        }
        self.arguments.get(name).unwrap_or(word).clone()
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
                let at = self.into.at(source, 0..0);
                let message = format!(
                    "the image of {by} is the build argument `{name}`, which is not contiguous plain text"
                );
                self.into.error("image-reference", &at, message);
            }
        }
    }

    fn copied(&mut self, instruction: &Instruction) {
        for flag in instruction.flags.iter().filter(|flag| flag.name == "from") {
            self.other(&flag.value, instruction.start);
        }
    }

    /// Mounted images, and downloads of the commands.
    fn run(&mut self, instruction: &Instruction) {
        for flag in instruction.flags.iter().filter(|flag| flag.name == "mount") {
            for field in flag.value.fields() {
                if let Some((name, image)) = field.split_once('=')
                    && name.text().trim().eq_ignore_ascii_case("from")
                {
                    self.other(&image, instruction.start);
                }
            }
        }
        let by = self.stage.clone().unwrap_or_default();
        let list = instruction.rest.json_list();
        let script = list.map_or_else(|| instruction.rest.clone(), |words| scripts::quoted(&words));
        for script in [&script].into_iter().chain(&instruction.documents) {
            scripts::built(self.source, script, &by, self.into);
        }
    }

    /// The value of `from=`: a stage by name or number, a context, or an image.
    fn other(&mut self, word: &Mapped, start: usize) {
        let text = word.text();
        if text.is_empty() {
            let at = self.into.at(self.source, start..start);
            let message = "`from=` is empty".to_owned();
            return self.into.error("image-reference", &at, message);
        }
        let stage = text.bytes().all(|byte| byte.is_ascii_digit())
            || self.names.contains(&text.to_ascii_lowercase());
        if !stage {
            let by = self.stage.clone().unwrap_or_default();
            self.word(word, &by);
        }
    }

    /// Files that `ADD` downloads, which need a checksum.
    fn added(&mut self, instruction: &Instruction) {
        let mut flags = instruction.flags.iter();
        let checksum = flags.find(|flag| flag.name == "checksum");
        let checksum = checksum.map(|flag| &flag.value);
        let words = instruction.rest.json_list();
        let words = words.unwrap_or_else(|| instruction.rest.words());
        let sources = words.len().saturating_sub(1);
        for word in &words[..sources] {
            if self.values.may_be_remote(word.text(), |name| {
                let key = (self.source.path.clone(), name.to_owned());
                self.builds.arguments.contains_key(&key)
            }) {
                self.download(word, checksum);
            }
        }
    }

    fn download(&mut self, word: &Mapped, checksum: Option<&Mapped>) {
        let url = word.text();
        let start = word.start().unwrap_or(0);
        let plain = word.span().filter(|_| remote::is_remote(url));
        let at = self
            .into
            .at(self.source, word.span().unwrap_or(start..start));
        let sha256 = checksum.map(|sum| sum.text().parse::<Digest>());
        let sum = checksum.and_then(Mapped::span);
        let (Some(Ok(sha256)), Some(sum), Some(_)) = (&sha256, sum, plain) else {
            let why = match sha256 {
                Some(Err(error)) => error.to_string(),
                Some(Ok(_)) => "is not a URL in contiguous plain text".to_owned(),
                None => "has no `--checksum=sha256:...`".to_owned(),
            };
            let help = format!(
                "write `ADD --checksum=sha256:<sum> {url}`, with the sum of `curl -fsSL {url} | sha256sum`"
            );
            let finding = Finding::error("unpinned-download", at.place, format!("`{url}`: {why}"));
            return self.into.findings.push(finding.help(help));
        };
        let by = self.stage.clone().unwrap_or_default();
        let dependency = Dependency::Download(Download {
            tool: url.to_owned(),
            version: None,
            architecture: None,
            url: url.to_owned(),
            sha256: *sha256,
        });
        let occurrence = |field, at| Occurrence {
            field,
            by: by.clone(),
            at,
        };
        let sum = self.into.at(self.source, sum);
        self.into.pin(
            dependency,
            [occurrence(Field::Url, at), occurrence(Field::Checksum, sum)],
        );
    }

    /// Adds the image that a word names.
    fn word(&mut self, word: &Mapped, by: &str) {
        match word.span() {
            Some(span) => self.image(span, by),
            None => self.into.in_pieces(self.source, word, by),
        }
    }

    fn image(&mut self, span: Range<usize>, by: &str) {
        let inner = reference_in(self.text(span.clone()));
        let span = span.start + inner.start..span.start + inner.end;
        self.into.base(self.source, span, by);
    }
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
        let occurrences = collector.pins.iter().flat_map(|pin| &pin.occurrences);
        let occurrences = occurrences.map(|found| {
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
        (occurrences.collect(), findings.collect())
    }

    #[test]
    fn every_image_of_a_dockerfile_is_found_with_its_location() {
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
    fn constructs_that_cannot_be_analyzed_are_findings() {
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
