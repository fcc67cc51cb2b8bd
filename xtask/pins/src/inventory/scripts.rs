//! What scripts fetch, as pins and findings: `RUN` of Dockerfiles, steps of workflows, scripts of the machine.

use super::collect::Collector;
use super::shell::{Found, scan};
use crate::mapped::Mapped;
use xtask_host::source::Source;

/// A script that builds an image: everything that it fetches must be pinned.
pub(super) fn built(source: &Source, script: &Mapped, by: &str, into: &mut Collector) {
    for found in scan(script) {
        match found {
            Found::Piped(command) => piped(source, &command, into),
            Found::TooDeep(script) => too_deep(source, &script, into),
            Found::Download(command) => {
                let message = format!("nothing compares what `{}` fetches", command.text());
                let help =
                    "compare it behind the download: `echo \"<sum>  <file>\" | sha256sum --check`";
                into.error_in(source, &command, "unpinned-download", message, help);
            }
            Found::Package(command, help) => {
                let message = format!("`{}` takes what is newest", command.text());
                into.error_in(source, &command, "unpinned-package", message, help);
            }
            Found::Image(word) => image(source, &word, by, into),
        }
    }
}

/// A script of a workflow: nothing runs unseen, and its images are pins.
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

/// A script of the machine: nothing runs unseen. Its images are of its own making.
pub(super) fn machine(source: &Source, script: &Mapped, into: &mut Collector) {
    for found in scan(script) {
        match found {
            Found::Piped(command) => piped(source, &command, into),
            Found::TooDeep(script) => too_deep(source, &script, into),
            Found::Download(_) | Found::Package(..) | Found::Image(_) => {}
        }
    }
}

/// The words of a list as one command that a shell would split into them.
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
    let message = format!("what `{}` fetches is run unseen", command.text());
    let help = "write it into a file, compare its SHA-256, then run it";
    into.error_in(source, command, "piped-download", message, help);
}

fn too_deep(source: &Source, script: &Mapped, into: &mut Collector) {
    let message = "this script nests too deep to be read".to_owned();
    let help = "write it with fewer substitutions inside of each other";
    into.error_in(source, script, "script", message, help);
}

fn image(source: &Source, word: &Mapped, by: &str, into: &mut Collector) {
    match word.span() {
        Some(span) => into.image(source, span, by),
        None => into.in_pieces(source, word, by),
    }
}
