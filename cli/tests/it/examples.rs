//! Every example of docs/polis.md is run, in their order, in one world, and every command has one.
//!
//! An example is a line that is indented by four spaces and begins with `polis`, behind the table of commands at the top. What
//! follows two spaces is said about it. `[OPTION]` is run without and with the option.

use std::collections::BTreeSet;
use std::fs;

use fake_multipass::World;

use crate::security::{block, give_valkey};
use crate::ssh::with_sshd;
use crate::support::{running, world};

const PAGE: &str = include_str!("../../../docs/polis.md");

/// What cannot end with 0 here: how the example begins, the codes that it may have, and why.
const OTHERWISE: [(&str, &[i32], &str); 4] = [
    (
        "polis doctor",
        &[0, 1],
        "not every machine that tests has a hypervisor and the network",
    ),
    (
        "polis update",
        &[16],
        "no release is to be had: a stand-in for curl says so",
    ),
    ("polis agent logs echo -f", &[127], UNMOUNTED),
    ("polis agent restart", &[12], UNMOUNTED),
];

/// `agents.rs` gives the double's workspace what a mount gives the real one, one test at a time.
const UNMOUNTED: &str =
    "the double's workspace lacks the script that runs agents, which is mounted";

/// A curl without a network.
const CURL: &str = "#!/bin/sh\necho 'curl: (6) Could not resolve host' >&2\nexit 6\n";

fn examples() -> Vec<String> {
    let (_, page) = PAGE.split_once("\n## ").expect("a section");
    let lines = page.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with("polis "));
    let lines = lines.filter_map(|line| line.split("  ").next());
    // What another shell than ours does with the output is left out.
    let lines = lines.filter_map(|line| line.split(" | ").next()?.split(" >").next());
    lines.flat_map(without_and_with).collect()
}

/// An example, once for each of its forms.
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

/// The commands that do something by themselves, as `agent add`.
fn commands(world: &World, above: &str) -> Vec<String> {
    let words: Vec<&str> = above.split_whitespace().chain(["--help"]).collect();
    let help = world.polis(&words).stdout;
    let Some((_, list)) = help.split_once("Commands:\n") else {
        return vec![above.trim().to_owned()];
    };
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names
        .flat_map(|name| commands(world, &format!("{above} {name}")))
        .collect()
}

#[test]
fn every_command_has_an_example() {
    let world = world();
    let examples = examples();
    let commands: BTreeSet<String> = commands(&world, "").into_iter().collect();
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

/// The block of the page in this language that contains `part`.
fn block_with(language: &str, part: &str) -> &'static str {
    let begins = format!("```{language}\n");
    let blocks = PAGE.split(&begins).skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(part)).expect("a sample")
}

/// How each line of a report begins: a label, or a name below one.
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
fn the_samples_are_what_polis_reads_and_prints() {
    let world = running();
    let config = world.home().join(".config/polis");
    fs::create_dir_all(&config).expect("a directory");
    fs::write(config.join("config.toml"), block_with("toml", "cpus")).expect("a file");
    let ran = world.polis(&["status"]);
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
    let started = world.polis(&["start"]).stdout;
    let (_, directions) = started.split_once('\n').expect("directions");
    assert!(
        block_with("text", "Next: polis shell").contains(directions),
        "{started}"
    );
}

/// What a reader of the page has beforehand.
fn prepare(world: &World) {
    let home = world.home();
    let agents = xtask_testkit::repository().join("agents");
    let copied = world.shell(&format!("cp -r '{}' ~/agents", agents.display()));
    assert_eq!(copied.code, Some(0), "{}", copied.seen());
    for dir in ["code", "project", "notes"] {
        fs::create_dir(home.join(dir)).expect("a directory");
        fs::write(home.join(dir).join("a.txt"), "a\n").expect("a file");
    }
    fs::write(home.join("hosts"), "127.0.0.1 localhost\n").expect("a file");
    let curl = world.dir().join("bin/curl");
    fs::write(&curl, CURL).expect("a program");
    let made = world.shell(&format!("chmod 755 '{}'", curl.display()));
    assert_eq!(made.code, Some(0), "{}", made.seen());
}

/// What an example takes for granted that an earlier one has taken away, or that the agent has done meanwhile.
fn meanwhile(world: &World, example: &str) {
    if example.starts_with("polis security") {
        give_valkey(world);
        block(world, "req-0a1b2c3d", "a.example", "new_domain_prompt");
    }
    if example.starts_with("polis sync") {
        let ran = world.polis(&["ssh-config", "--install"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
    }
    if example.starts_with("polis cp workspace:notes/out.log") {
        world.write_guest("/home/polis/notes/out.log", "done\n");
    }
}

#[test]
fn every_example_runs_as_it_is_written() {
    let Some(world) = with_sshd() else { return };
    prepare(&world);
    let mut failed = Vec::new();
    let examples = examples();
    assert!(examples.len() > 40, "{examples:?}");
    for example in &examples {
        meanwhile(&world, example);
        let endless = [" -f", " --watch"]
            .iter()
            .any(|option| example.ends_with(option));
        let bounded = match endless {
            // It goes on until Ctrl-C.
            true => format!("timeout --signal=INT 10 {example}"),
            false => example.clone(),
        };
        let ran = world.shell(&format!("export ECHO_TOKEN=token; {bounded}"));
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
