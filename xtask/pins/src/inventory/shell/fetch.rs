//! Downloads of a script: piped code, files without a checksum, packages without a version, images.

use std::collections::BTreeMap;

use super::{Command, commands, image, package};
use crate::mapped::Mapped;

/// A download of a script.
#[derive(Debug)]
pub(in crate::inventory) enum Found {
    /// Code that is piped to an interpreter; holds the command that downloads it.
    Piped(Mapped),
    /// A file that is not verified; holds the command that downloads it.
    Download(Mapped),
    /// A package without an exact version, and how to pin it.
    Package(Mapped, &'static str),
    /// An image reference.
    Image(Mapped),
    /// A script that nests too deeply.
    TooDeep(Mapped),
}

/// Programs that download a URL.
const FETCHERS: [&str; 4] = ["curl", "wget", "fetch", "aria2c"];
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish"];
const INTERPRETERS: [&str; 9] = [
    "python", "python3", "perl", "ruby", "node", "deno", "bun", "php", "pwsh",
];
/// Programs that verify checksums.
const SUMS: [&str; 5] = ["sha256sum", "sha384sum", "sha512sum", "shasum", "b2sum"];
/// The limit of scripts inside of scripts.
const DEPTH: usize = 8;

/// All downloads of `script`, in the order of the file.
pub(in crate::inventory) fn scan(script: &Mapped) -> Vec<Found> {
    let mut found = BTreeMap::new();
    walk(script, DEPTH, &mut found);
    found.into_values().collect()
}

/// Collects by place, so each download is reported once, with its worst kind.
fn walk(script: &Mapped, depth: usize, found: &mut BTreeMap<usize, Found>) {
    let Some(commands) = commands(script).filter(|_| depth > 0) else {
        found.insert(script.start().unwrap_or(0), Found::TooDeep(script.clone()));
        return;
    };
    for (at, command) in commands.iter().enumerate() {
        let Some((program, words)) = command.program() else {
            continue;
        };
        let whole = whole(command);
        let start = whole.start().unwrap_or(0);
        if FETCHERS.contains(&program) && words.iter().any(is_address) {
            if runs(&commands, at) {
                found.insert(start, Found::Piped(whole));
            } else if !compared(&commands, at) {
                found.entry(start).or_insert(Found::Download(whole));
            }
        } else if let Some(pin) = package::unpinned(program, words) {
            found.entry(start).or_insert(Found::Package(whole, pin));
        }
        for image in image::of(program, words) {
            let start = image.start().unwrap_or(start);
            found.entry(start).or_insert(Found::Image(image));
        }
        if let Some(script) = inner(program, words) {
            walk(script, depth - 1, found);
        }
    }
}

/// The command line, for messages.
fn whole(command: &Command) -> Mapped {
    let mut whole = Mapped::default();
    for word in &command.words {
        if let (false, Some(start)) = (whole.text().is_empty(), word.start()) {
            whole.append(&Mapped::somewhere(" ", start));
        }
        whole.append(word);
    }
    whole
}

/// The script in the words of a shell: `sh -c script`, `eval script`.
fn inner<'a>(program: &str, words: &'a [Mapped]) -> Option<&'a Mapped> {
    if program == "eval" {
        return words.first();
    }
    let flag = |word: &Mapped| word.text().starts_with('-') && word.text().ends_with('c');
    let at = words.iter().position(flag)?;
    words.get(at + 1).filter(|_| SHELLS.contains(&program))
}

fn is_address(word: &Mapped) -> bool {
    !word.text().starts_with('-') || word.text().contains("://")
}

/// Whether an interpreter runs the download of the command `at`: through a pipe, or substituted into its arguments.
fn runs(commands: &[Command], at: usize) -> bool {
    let piped = readers(commands, at).any(|reader| {
        let program = commands[reader].program();
        program.is_some_and(|(program, words)| reads_code(program, words))
    });
    let mut outer = commands[at].inside;
    let mut substituted = false;
    while let Some(command) = outer {
        let program = commands[command].program().map(|(program, _)| program);
        substituted |= program.is_some_and(|program| {
            is_interpreter(program) || ["eval", "source", "."].contains(&program)
        });
        outer = commands[command].inside;
    }
    piped || substituted
}

/// The commands after `at` in its pipeline.
fn readers(commands: &[Command], at: usize) -> impl Iterator<Item = usize> {
    let next = move |writer: &usize| {
        (writer + 1..commands.len()).find(|reader| commands[*reader].reads == Some(*writer))
    };
    std::iter::successors(next(&at), next)
}

fn is_interpreter(program: &str) -> bool {
    let bare = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    [program, bare]
        .iter()
        .any(|name| SHELLS.contains(name) || INTERPRETERS.contains(name))
}

/// Whether an interpreter with these arguments reads its code from standard input.
fn reads_code(program: &str, words: &[Mapped]) -> bool {
    let mut texts = words.iter().map(Mapped::text);
    if ["source", "."].contains(&program) {
        return texts.any(|word| word == "/dev/stdin" || word == "-");
    }
    if !is_interpreter(program) {
        return false;
    }
    if SHELLS.contains(&program) {
        let flags = |letter| {
            words.iter().any(|word| {
                let word = word.text();
                word.starts_with('-') && !word.starts_with("--") && word.contains(letter)
            })
        };
        let file = words.iter().any(|word| !word.text().starts_with('-'));
        return flags('s') || words.iter().any(|word| word.text() == "-") || (!flags('c') && !file);
    }
    texts
        .next()
        .is_none_or(|word| word == "-" || word == "/dev/stdin")
}

/// Whether a checksum or a signature is verified after the command `at`: in its pipeline, if it has one.
fn compared(commands: &[Command], at: usize) -> bool {
    let mut later = readers(commands, at).peekable();
    if later.peek().is_some() {
        return later.any(|reader| checks(&commands[reader]));
    }
    commands[at + 1..].iter().any(checks)
}

fn checks(command: &Command) -> bool {
    let Some((program, words)) = command.program() else {
        return false;
    };
    let has = |flags: &[&str]| words.iter().any(|word| flags.contains(&word.text()));
    let letters = |letter| {
        let mut texts = words.iter().map(Mapped::text);
        texts.any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter))
    };
    match program {
        _ if SUMS.contains(&program) => has(&["--check"]) || letters('c'),
        "gpgv" | "gpgv2" => true,
        "gpg" | "gpg2" => has(&["--verify"]),
        "cosign" => words
            .first()
            .is_some_and(|verb| verb.text().starts_with("verify")),
        "minisign" => letters('V'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(script: &str) -> Vec<&'static str> {
        let found = scan(&Mapped::of(script, 0..script.len()));
        let kinds = found.iter().map(|found| match found {
            Found::Piped(_) => "piped",
            Found::Download(_) => "download",
            Found::Package(..) => "package",
            Found::Image(_) => "image",
            Found::TooDeep(_) => "too deep",
        });
        kinds.collect()
    }

    #[test]
    fn executed_downloads_are_distinguished_from_data() {
        for script in [
            "curl u | sh",
            "wget -qO- u | tee f | gunzip | sudo -E bash -s -- -y",
            "curl u | python3.12 -",
            "curl u | . /dev/stdin",
            "sh -c \"$(curl u)\"",
            "bash <(curl u) -y",
            "eval `curl u`",
            "source <(curl u)",
            "bash -ec 'true; curl u | sh'",
            "x() { curl u | env A=1 node; }",
        ] {
            assert_eq!(seen(script), ["piped"], "{script}");
        }
        for script in [
            "curl u | python3 -m json.tool",
            "curl u | sh ./file",
            "curl u | perl -pe s/a/b/",
            "x=$(curl u)",
            "curl -o f u; sh f",
        ] {
            assert_eq!(seen(script), ["download"], "{script}");
        }
        assert_eq!(
            seen("curl --version; apt-get install curl; echo 'curl u | sh'"),
            [""; 0]
        );
    }

    #[test]
    fn a_checksum_counts_for_earlier_downloads() {
        for (script, found) in [
            ("curl -o f u && sha256sum -c s", &[][..]),
            ("wget u; echo \"$S  f\" | shasum -a 256 -c", &[]),
            ("curl u | tee f | sha256sum --check s", &[]),
            ("curl -o f u; gpg --verify f.asc f", &[]),
            ("sha256sum -c s; curl -o f u", &["download"]),
            ("curl u | tar x; sha256sum -c s", &["download"]),
            ("curl -o f u; sha256sum f", &["download"]),
        ] {
            assert_eq!(seen(script), found, "{script}");
        }
    }
}
