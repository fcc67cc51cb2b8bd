//! Pins and findings in scripts: `RUN` of Dockerfiles, steps of workflows, scripts of the VM.

use super::collect::Collector;
use super::shell::{Found, scan};
use crate::mapped::Mapped;
use xtask_host::source::Source;

/// A script that builds an image: everything it fetches must be pinned.
pub(super) fn built(source: &Source, script: &Mapped, by: &str, into: &mut Collector) {
    for found in scan(script) {
        match found {
            Found::Piped(command) => piped(source, &command, into),
            Found::TooDeep(script) => too_deep(source, &script, into),
            Found::Download(command) => {
                let message = format!("the download of `{}` is not verified", command.text());
                let help =
                    "verify it after the download: `echo \"<sum>  <file>\" | sha256sum --check`";
                into.error_in(source, &command, "unpinned-download", message, help);
            }
            Found::Package(command, help) => {
                let message = format!("`{}` installs the newest version", command.text());
                into.error_in(source, &command, "unpinned-package", message, help);
            }
            Found::Image(word) => image(source, &word, by, into),
        }
    }
}

/// A script of a workflow: no piped downloads, and its images are pins.
pub(super) fn step(source: &Source, script: &Mapped, by: &str, into: &mut Collector) {
    for found in scan(script) {
        match found {
            Found::Piped(command) => piped(source, &command, into),
            Found::TooDeep(script) => too_deep(source, &script, into),
            Found::Image(word) => image(source, &word, by, into),
            Found::Download(_) | Found::Package(..) => {}
        }
    }
}

/// A script of the VM: no piped downloads. It builds its images itself.
pub(super) fn machine(source: &Source, script: &Mapped, into: &mut Collector) {
    for found in scan(script) {
        match found {
            Found::Piped(command) => piped(source, &command, into),
            Found::TooDeep(script) => too_deep(source, &script, into),
            Found::Download(_) | Found::Package(..) | Found::Image(_) => {}
        }
    }
}

/// A shell command that splits into `words`.
pub(super) fn quoted(words: &[Mapped]) -> Mapped {
    let mut script = Mapped::default();
    for word in words {
        let start = word.start().unwrap_or(0);
        let quote = Mapped::somewhere("'", start);
        script.append(&quote);
        let mut at = 0;
        for piece in word.text().split('\'') {
            script.append(&word.slice(at..at + piece.len()));
            at += piece.len() + 1;
        }
        script.append(&quote);
        script.append(&Mapped::somewhere(" ", start));
    }
    script
}

fn piped(source: &Source, command: &Mapped, into: &mut Collector) {
    let message = format!(
        "the download of `{}` is run without verification",
        command.text()
    );
    let help = "write it to a file, verify its SHA-256, then run it";
    into.error_in(source, command, "piped-download", message, help);
}

fn too_deep(source: &Source, script: &Mapped, into: &mut Collector) {
    let message = "the script nests too deeply to be analyzed".to_owned();
    let help = "nest fewer substitutions";
    into.error_in(source, script, "script", message, help);
}

fn image(source: &Source, word: &Mapped, by: &str, into: &mut Collector) {
    match word.span() {
        Some(span) => into.image(source, span, by),
        None => into.in_pieces(source, word, by),
    }
}
