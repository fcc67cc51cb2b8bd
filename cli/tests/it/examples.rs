//! Runs every example of docs/polis.md, in order, in one sandbox, and checks that every command has an example.
//!
//! An example is a line that is indented by four spaces and begins with `polis`, after the table of commands at the top. Text
//! after two spaces is a remark. `[OPTION]` runs both without and with the option.

use std::collections::BTreeSet;
use std::fs;

use fake_multipass::Sandbox;

use crate::security::{block, give_valkey};
use crate::ssh::with_sshd;
use crate::support::{running, sandbox};

const PAGE: &str = include_str!("../../../docs/polis.md");

/// Examples that cannot exit with 0 here: how each begins, its acceptable exit codes, and why.
const OTHERWISE: [(&str, &[i32], &str); 4] = [
    (
        "polis doctor",
        &[0, 1],
        "not every test machine has a hypervisor and network access",
    ),
    (
        "polis update",
        &[16],
        "a fake curl reports that no release can be reached",
    ),
    ("polis agent logs echo -f", &[127], UNMOUNTED),
    ("polis agent restart", &[12], UNMOUNTED),
];

/// `agents.rs` emulates this mount, in one test at a time.
const UNMOUNTED: &str = "the fake workspace has no mounts, so it lacks the script that runs agents";

/// A fake curl without a network.
const CURL: &str = "#!/bin/sh\necho 'curl: (6) Could not resolve host' >&2\nexit 6\n";

fn examples() -> Vec<String> {
    let (_, page) = PAGE.split_once("\n## ").expect("a section");
    let lines = page.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with("polis "));
    let lines = lines.filter_map(|line| line.split("  ").next());
    // Leaves out what another command of the shell does with the output.
    let lines = lines.filter_map(|line| line.split(" | ").next()?.split(" >").next());
    lines.flat_map(without_and_with).collect()
}

/// The forms of an example: with and without each option.
fn without_and_with(example: &str) -> Vec<String> {
    match example.split_once(" [") {
        None => vec![example.trim_end().to_owned()],
        Some((before, option)) => {
            vec![
                before.to_owned(),
                format!("{before} {}", option.replace(']', "")),
            ]
        }
    }
}

/// The commands that are not just groups, such as `agent add`.
fn commands(sandbox: &Sandbox, above: &str) -> Vec<String> {
    let words: Vec<&str> = above.split_whitespace().chain(["--help"]).collect();
    let help = sandbox.polis(&words).stdout;
    let Some((_, list)) = help.split_once("Commands:\n") else {
        return vec![above.trim().to_owned()];
    };
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names
        .flat_map(|name| commands(sandbox, &format!("{above} {name}")))
        .collect()
}

#[test]
fn every_command_has_an_example() {
    let sandbox = sandbox();
    let examples = examples();
    let commands: BTreeSet<String> = commands(&sandbox, "").into_iter().collect();
    assert!(commands.len() > 20, "{commands:?}");
    let has = |command: &String| {
        let begins = format!("polis {command}");
        examples.iter().any(|example| {
            example
                .strip_prefix(&begins)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    };
    let without: Vec<&String> = commands.iter().filter(|command| !has(command)).collect();
    assert!(
        without.is_empty(),
        "docs/polis.md has no example of {without:?}"
    );
}

/// The page's code block in this language that contains `part`.
fn block_with(language: &str, part: &str) -> &'static str {
    let begins = format!("```{language}\n");
    let blocks = PAGE.split(&begins).skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(part)).expect("a sample")
}

/// The start of each line of a report: a label, or a name below one.
fn labels(report: &str) -> Vec<&str> {
    report
        .lines()
        .map(|line| {
            let indent = line.len() - line.trim_start().len();
            let end = line[indent..]
                .find(' ')
                .map_or(line.len(), |end| indent + end);
            &line[..end]
        })
        .collect()
}

#[test]
fn the_samples_match_what_polis_reads_and_prints() {
    let sandbox = running();
    let config = sandbox.home().join(".config/polis");
    fs::create_dir_all(&config).expect("a directory");
    fs::write(config.join("config.toml"), block_with("toml", "cpus")).expect("a file");
    let ran = sandbox.polis(&["status"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(
        labels(&ran.stdout),
        labels(block_with("text", "versions")),
        "{}",
        ran.seen()
    );
    let settings = ran.stdout.split("settings\n").nth(1).expect("settings");
    let settings = settings.split("next").next().unwrap_or_default();
    assert!(
        block_with("text", "versions").contains(settings),
        "{settings}"
    );
    let started = sandbox.polis(&["start"]).stdout;
    let (_, directions) = started.split_once('\n').expect("directions");
    assert!(
        block_with("text", "Next: polis shell").contains(directions),
        "{started}"
    );
}

/// Prepares what a reader of the page already has.
fn prepare(sandbox: &Sandbox) {
    let home = sandbox.home();
    let agents = xtask_testkit::repository().join("agents");
    let copied = sandbox.shell(&format!("cp -r '{}' ~/agents", agents.display()));
    assert_eq!(copied.code, Some(0), "{}", copied.seen());
    for dir in ["code", "project", "notes"] {
        fs::create_dir(home.join(dir)).expect("a directory");
        fs::write(home.join(dir).join("a.txt"), "a\n").expect("a file");
    }
    fs::write(home.join("hosts"), "127.0.0.1 localhost\n").expect("a file");
    let curl = sandbox.dir().join("bin/curl");
    fs::write(&curl, CURL).expect("a program");
    let made = sandbox.shell(&format!("chmod 755 '{}'", curl.display()));
    assert_eq!(made.code, Some(0), "{}", made.seen());
}

/// Restores what an example relies on and an earlier one removed, and does what the agent would have done meanwhile.
fn meanwhile(sandbox: &Sandbox, example: &str) {
    if example.starts_with("polis security") {
        give_valkey(sandbox);
        block(sandbox, "req-0a1b2c3d", "a.example", "new_domain_prompt");
    }
    if example.starts_with("polis sync") {
        let ran = sandbox.polis(&["ssh-config", "--install"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
    }
    if example.starts_with("polis cp workspace:notes/out.log") {
        sandbox.write_guest("/home/polis/notes/out.log", "done\n");
    }
}

#[test]
fn every_example_runs_as_written() {
    let Some(sandbox) = with_sshd() else { return };
    prepare(&sandbox);
    let mut failed = Vec::new();
    let examples = examples();
    assert!(examples.len() > 40, "{examples:?}");
    for example in &examples {
        meanwhile(&sandbox, example);
        let endless = [" -f", " --watch"]
            .iter()
            .any(|option| example.ends_with(option));
        let bounded = match endless {
            // It runs until Ctrl-C.
            true => format!("timeout --signal=INT 10 {example}"),
            false => example.clone(),
        };
        let ran = sandbox.shell(&format!("export ECHO_TOKEN=token; {bounded}"));
        let listed = OTHERWISE
            .iter()
            .find(|(begins, ..)| example.starts_with(begins));
        let codes = match listed {
            Some((_, codes, _)) => codes,
            None if endless => &[0, 124, 130][..],
            None => &[0],
        };
        if !ran.code.is_some_and(|code| codes.contains(&code)) {
            failed.push(format!("{example}: {}", ran.seen()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
