//! Additions to the commands' definitions for `--help`, the man pages and the completions: examples, environment variables,
//! and hints about mistakes.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error};

use crate::args::Cli;
use crate::error::EXIT_CODES;
use crate::settings;

/// Examples of each command, by its words.
const EXAMPLES: [(&str, &str); 43] = [
    (
        "",
        "polis doctor      # what this machine lacks
polis start       # creates or starts the workspace
polis shell       # opens a shell in it",
    ),
    (
        "start",
        "polis start
polis start --dry-run
polis start --cpus 8 --memory 16G
polis start --agent agents/echo -e ECHO_TOKEN",
    ),
    ("stop", "polis stop"),
    ("status", "polis status\npolis status --json"),
    ("list", "polis list\npolis status --name second"),
    ("port", "polis port add 8080\npolis port list"),
    ("port list", "polis port list"),
    (
        "port add",
        "polis port add 8080 --to 3000   # 8080 at the VM's address leads to 3000 in the workspace",
    ),
    ("port remove", "polis port remove 8080"),
    (
        "snapshot",
        "polis snapshot create before-upgrade
polis snapshot list",
    ),
    (
        "snapshot create",
        "polis snapshot create before-upgrade --yes   # stops the VM, and starts it again",
    ),
    ("snapshot list", "polis snapshot list"),
    (
        "snapshot restore",
        "polis snapshot restore before-upgrade --yes   # loses all later changes",
    ),
    ("snapshot delete", "polis snapshot delete before-upgrade"),
    (
        "delete",
        "polis delete
polis delete --purge --yes   # permanently, without confirmation",
    ),
    ("doctor", "polis doctor"),
    (
        "exec",
        "polis exec -- ls -la
polis exec --root -- apt-get install -y jq
polis exec --vm -- docker ps",
    ),
    ("shell", "polis shell\npolis shell --root"),
    (
        "cp",
        "polis cp project workspace:              # to ~/project in the workspace
polis cp workspace:project/out.log .     # to ./out.log on this machine",
    ),
    (
        "sync",
        "polis sync project           # to ~/project in the workspace
polis sync project --diff    # shows what has changed there since
polis sync project --apply   # applies that here, after confirmation",
    ),
    (
        "ssh-config",
        "polis ssh-config --install
ssh polis",
    ),
    ("connect", "polis connect\npolis connect code"),
    ("logs", "polis logs\npolis logs gate --follow"),
    (
        "security",
        "polis security pending\npolis security approve req-0a1b2c3d",
    ),
    ("security status", "polis security status"),
    ("security pending", "polis security pending --watch"),
    ("security approve", "polis security approve req-0a1b2c3d"),
    ("security deny", "polis security deny req-0a1b2c3d"),
    (
        "security allow",
        "polis security allow api.example.org:8443",
    ),
    (
        "security level",
        "polis security level          # shows it
polis security level strict   # sets it",
    ),
    ("security log", "polis security log --follow"),
    (
        "agent",
        "polis agent check agents/echo\npolis agent add agents/echo -e ECHO_TOKEN",
    ),
    (
        "agent add",
        "polis agent add agents/echo -e ECHO_TOKEN
polis start --recreate-workspace   # starts it",
    ),
    ("agent list", "polis agent list"),
    ("agent show", "polis agent show echo"),
    (
        "agent remove",
        "polis agent remove echo
polis agent remove echo --purge   # with its volumes",
    ),
    ("agent restart", "polis agent restart echo"),
    ("agent logs", "polis agent logs echo --follow"),
    ("agent check", "polis agent check agents/echo"),
    ("update", "polis update --check\npolis update"),
    ("version", "polis version --json"),
    (
        "completions",
        "source <(polis completions bash)
polis completions zsh >~/.zfunc/_polis",
    ),
    ("man", "polis man start | man -l -"),
];

/// The examples of a command, one per line.
pub(crate) fn examples(words: &str) -> Option<&'static str> {
    let known = EXAMPLES.iter().find(|(command, _)| *command == words);
    known.map(|(_, text)| *text)
}

/// The definition of the command line, with examples.
pub(crate) fn definition() -> Command {
    let command = with_examples(Cli::command(), "");
    let examples = command.get_after_help().map(StyledStr::to_string);
    let examples = examples.unwrap_or_default();
    command.after_help(format!("{examples}\n\n{}\n\n{EXIT_CODES}", environment()))
}

/// `command`, whose options name their environment variable.
fn with_variables(command: Command) -> Command {
    command.mut_args(|arg| {
        let variable = arg.get_long().and_then(settings::variable_of);
        match (variable, arg.get_help().map(StyledStr::to_string)) {
            (Some(variable), Some(help)) => arg.help(format!("{help} [env: {variable}]")),
            _ => arg,
        }
    })
}

/// The section about environment variables.
fn environment() -> String {
    let lines = settings::variables().into_iter();
    let lines = lines.map(|(name, meaning, _)| format!("\n  {name:<21} {meaning}"));
    format!("Environment:{}", lines.collect::<String>())
}

fn with_examples(mut command: Command, words: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for name in names {
        let words = format!("{words} {name}");
        command = command.mut_subcommand(name, |inner| with_examples(inner, words.trim_start()));
    }
    if matches!(words, "" | "start") {
        command = with_variables(command);
    }
    match examples(words) {
        Some(text) => {
            let lines = text.lines().map(|line| format!("\n  {line}"));
            command.after_help(format!("Examples:{}", lines.collect::<String>()))
        }
        None => command,
    }
}

pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "polis", &mut script);
    script
}

/// `error` with the corrected command line, if `words` lack the `--` of `polis exec`.
pub(crate) fn with_dashes(mut error: Error, words: &[OsString]) -> Error {
    let meant = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(first)) if error.kind() == ErrorKind::UnknownArgument => {
            dashed(words, first)
        }
        _ => None,
    };
    if let Some(meant) = meant {
        let tip = StyledStr::from(format!("the command comes after `--`: {meant}"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// The command line `words` with `--` before `first`; none if it is not `exec`.
fn dashed(words: &[OsString], first: &str) -> Option<String> {
    let words: Option<Vec<&str>> = words.iter().skip(1).map(|word| word.to_str()).collect();
    let words = words?;
    let command = words.iter().position(|word| !word.starts_with('-'))?;
    let at = words
        .iter()
        .skip(command + 1)
        .position(|word| *word == first)?
        + command
        + 1;
    if words[command] != "exec" || first.starts_with('-') {
        return None;
    }
    let (ours, theirs) = words.split_at(at);
    shlex::try_join([&["polis"], ours, &["--"], theirs].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples() {
        fn visit(command: &Command, words: &str, known: &mut Vec<String>) {
            known.push(words.to_owned());
            for inner in command
                .get_subcommands()
                .filter(|inner| !inner.is_hide_set())
            {
                let words = format!("{words} {}", inner.get_name());
                visit(inner, words.trim_start(), known);
            }
        }
        let mut known = Vec::new();
        visit(&Cli::command(), "", &mut known);
        let mut listed = EXAMPLES.map(|(words, _)| words.to_owned());
        known.sort();
        listed.sort();
        assert_eq!(
            known, listed,
            "EXAMPLES in cli/src/help.rs has one entry per command"
        );
        definition().debug_assert();
    }

    /// Each example of polis parses.
    #[test]
    fn the_examples_parse() {
        let lines = EXAMPLES.iter().flat_map(|(_, text)| text.lines());
        let mut count = 0;
        for line in lines.filter(|line| line.starts_with("polis ")) {
            let line = line.split(['#', '|', '>']).next().unwrap_or_default();
            let words = shlex::split(line).unwrap();
            if let Err(error) = definition().try_get_matches_from(words) {
                panic!("{line}: {error}");
            }
            count += 1;
        }
        assert!(count > 40, "{count}");
    }

    #[test]
    fn a_command_without_dashes_is_corrected() {
        let meant = |line: &str, first: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            dashed(&words, first)
        };
        assert_eq!(
            meant("/x/polis exec ls -la", "ls").unwrap(),
            "polis exec -- ls -la"
        );
        assert_eq!(
            meant("polis -v exec --root ls a;b", "ls").unwrap(),
            "polis -v exec --root -- ls 'a;b'"
        );
        assert_eq!(meant("polis exec -la", "-l"), None);
        assert_eq!(meant("polis stop exec", "exec"), None);
    }
}
