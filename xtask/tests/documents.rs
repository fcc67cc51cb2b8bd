//! The commands in the documents: a test executes each one, or a reason says why none can.

mod command_lines;

use std::collections::BTreeSet;
use std::fs;

use clap::CommandFactory as _;
use xtask::cli::Cli;
use xtask_testkit::repository;

const DOCUMENTS: [&str; 13] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "RELEASING.md",
    "ARCHITECTURE.md",
    "agents/README.md",
    "cli/testing/conformance/README.md",
    "cloud-init/proof/README.md",
    "compose/README.md",
    "compose/proof/README.md",
    "docs/install.md",
    "docs/pins.md",
    "docs/polis.md",
];

/// How each command is tested: the test that executes it, or the reason why none does.
///
/// The first matching entry counts. An entry matches the document, if it names one, and the beginning of the command.
const COVERED: [(&str, &str, &str); 29] = [
    ("RELEASING.md", "git push --delete", "takes a real tag back"),
    ("RELEASING.md", "git ", "xtask/online/tests/ready"),
    ("RELEASING.md", "minisign -G", "xtask/online/tests/ready"),
    (
        "RELEASING.md",
        "rustup target add",
        "xtask/online/tests/ready",
    ),
    ("RELEASING.md", "TARGETS=", "xtask/online/tests/ready"),
    ("RELEASING.md", "cargo build", "xtask/online/tests/ready"),
    ("RELEASING.md", "export ", "xtask/online/tests/ready"),
    ("RELEASING.md", "read -rs", "xtask/online/tests/ready"),
    ("RELEASING.md", "unset ", "xtask/online/tests/ready"),
    (
        "RELEASING.md",
        "target/debug/xtask-online",
        "xtask/online/tests/ready",
    ),
    (
        "RELEASING.md",
        "gh ",
        "needs rights on GitHub, or a public release",
    ),
    (
        "RELEASING.md",
        "skopeo ",
        "moves a tag of the real registry",
    ),
    ("RELEASING.md", "IMAGE=", "names a published image"),
    (
        "RELEASING.md",
        "oras ",
        "reads a published image; the release tests run oras on loopback",
    ),
    ("RELEASING.md", "cosign ", "reads a published image"),
    ("", "minisign -Vm", "xtask/online/tests/it/installers"),
    ("", "sha256sum -c", "xtask/online/tests/it/installers"),
    (
        "docs/install.md",
        "curl ",
        "needs a public release; installers/ runs the script that it downloads",
    ),
    (
        "docs/install.md",
        "sh install.sh",
        "xtask/online/tests/it/installers",
    ),
    ("docs/install.md", "tar ", "xtask/dist/tests/built.rs"),
    ("docs/install.md", "cp ", "xtask/dist/tests/built.rs"),
    (
        "docs/install.md",
        "brew ",
        "needs Homebrew; the tests evaluate the formula with Ruby",
    ),
    ("docs/install.md", "winget ", "needs Windows"),
    ("docs/install.md", "powershell ", "needs Windows"),
    ("docs/install.md", "Invoke-WebRequest ", "needs Windows"),
    (
        "compose/README.md",
        "scripts/generate-secrets.sh",
        "compose/proof/tests/stack",
    ),
    (
        "docs/polis.md",
        "source <(polis completions",
        "needs an interactive shell; the tests parse the completions",
    ),
    (
        "docs/polis.md",
        "POLIS_NAME=review polis status",
        "cli/tests/it/names.rs",
    ),
    ("", "polis ", "cli/tests/it/examples.rs, for docs/polis.md"),
];

/// Developer commands that take a whole test run or a machine.
const DEVELOPERS: [(&str, &str); 5] = [
    (
        "sudo env \"HOME=$HOME\" \"PATH=$PATH\" cargo xtask ci",
        "this very command; .github/workflows/tests.yml runs its parts",
    ),
    (
        "UPDATE_EXPECT=1 cargo test",
        "rewrites the tests themselves",
    ),
    (
        "cargo run -p fake-multipass --bin conformance",
        "the real Multipass; CI asks the double",
    ),
    ("docker compose exec state", "compose/proof/tests/stack"),
    (
        "git clone ",
        "xtask/tests/stranger.rs clones this repository",
    ),
];

/// Whether a line of a block is a diagram, a path, a setting or output.
fn is_figure(line: &str) -> bool {
    let drawing = ["->", "+", "|", " = "]
        .iter()
        .any(|sign| line.contains(sign));
    let command = ["cargo ", "docker ", "polis "]
        .iter()
        .any(|program| line.starts_with(program));
    let other = ["~", "/", "#", "[", "DIFFERS "]
        .iter()
        .any(|begins| line.starts_with(begins));
    (drawing && !command) || other || line.is_empty()
}

/// The commands in the indented blocks of a document, without comments. Continued lines are joined.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let (mut fenced, mut deeper) = (false, false);
    let mut item = 0;
    for line in page.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !text.is_empty() {
            let list = text.split_once(' ').is_some_and(|(mark, _)| {
                mark == "-" || mark.trim_end_matches('.').parse::<u32>().is_ok()
            });
            if list && indent < 4 {
                item = 3;
            } else if indent == 0 {
                item = 0;
            }
            let block = indent >= item + 4;
            if block && !deeper && indent <= item + 4 {
                let command = text.split(" #").next().unwrap_or_default();
                let command = command.split("  ").next().unwrap_or_default();
                commands.push(command.trim().to_owned());
            }
            deeper = block && text.trim_end().ends_with('\\');
        }
    }
    commands.retain(|command| !is_figure(command));
    commands
}

fn page(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect(path)
}

/// A command line of ours with values for its placeholders.
fn filled_in(command: &str) -> Vec<String> {
    let words = command.split_whitespace();
    let words = words.map(|word| word.trim_matches(['[', ']', '"']));
    let words = words.map(|word| match word {
        "X.Y.Z" | "VERSION" => "1.2.3",
        "STEP" | "STAGE" => "test",
        "$TARGETS" => "x86_64-unknown-linux-musl",
        word => word,
    });
    words.map(str::to_owned).collect()
}

/// The `cargo xtask` command lines of a document: in blocks, and in text between backquotes.
fn ours(path: &str) -> Vec<String> {
    let page = page(path);
    let inline = page.lines().filter(|line| !line.starts_with("    "));
    let inline = inline.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned));
    let all = commands(&page).into_iter().chain(inline);
    all.filter(|command| command.starts_with("cargo xtask "))
        .collect()
}

#[test]
fn every_command_in_a_block_is_covered() {
    let mut unknown = Vec::new();
    let mut count = 0;
    for path in DOCUMENTS {
        for command in commands(&page(path)) {
            let covered = COVERED.iter().any(|(document, begins, _)| {
                (document.is_empty() || *document == path) && command.starts_with(begins)
            });
            let known = command.starts_with("cargo xtask ")
                || DEVELOPERS
                    .iter()
                    .any(|(begins, _)| command.starts_with(begins));
            if !covered && !known {
                unknown.push(format!("{path}: {command}"));
            }
            count += 1;
        }
    }
    assert!(count > 80, "{count} commands");
    assert!(
        unknown.is_empty(),
        "neither executed by a test nor listed with a reason:\n{}",
        unknown.join("\n")
    );
}

#[test]
fn every_entry_of_the_lists_is_used() {
    let all: Vec<(&str, Vec<String>)> = DOCUMENTS
        .iter()
        .map(|path| (*path, commands(&page(path))))
        .collect();
    let used = |document: &str, begins: &str| {
        all.iter().any(|(path, commands)| {
            (document.is_empty() || document == *path)
                && commands.iter().any(|command| command.starts_with(begins))
        })
    };
    let covered = COVERED
        .iter()
        .map(|(document, begins, _)| (*document, *begins));
    let developers = DEVELOPERS.iter().map(|(begins, _)| ("", *begins));
    let unused: Vec<_> = covered
        .chain(developers)
        .filter(|(document, begins)| !used(document, begins))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn xtask_accepts_its_commands_in_the_documents() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in DOCUMENTS {
        for command in ours(path) {
            let words = filled_in(&command);
            let line: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            if let Err(error) = command_lines::parse(&line) {
                wrong.push(format!("{path}: `{command}`: {error}"));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 40, "{count} commands");
}

#[test]
fn the_readme_lists_every_verb() {
    let page = page("README.md");
    let (_, section) = page.split_once("\n## Verbs\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<&str> = rows
        .filter_map(|row| row.split(['`', ' ']).next())
        .collect();
    let command = Cli::command();
    let verbs: BTreeSet<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    assert_eq!(listed, verbs);
}

#[test]
fn relative_links_point_to_files() {
    let mut broken = Vec::new();
    for path in DOCUMENTS
        .into_iter()
        .chain(["docs/STYLE.md", "docs/history.md"])
    {
        let page = page(path);
        let dir = repository().join(path);
        let links = page.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            if !dir.with_file_name("").join(link).exists() {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn commands_are_read_from_blocks_only() {
    let page = "text\n\n    cargo a  said about it\n    b \\\n      -c\n\n1. step:\n\n       git x # y\n\n   text\n\n```\n    no\n```\n    a -> b\n";
    assert_eq!(commands(page), ["cargo a", "b \\", "git x"]);
}
