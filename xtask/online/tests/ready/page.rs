//! The commands of a section of RELEASING.md, and who runs each of them.

/// The indentation of blocks in a list of steps.
const BLOCK: &str = "       ";
/// The placeholder for the version in commands.
const PLACEHOLDER: &str = "X.Y.Z";

/// Commands for people, who have the rights or must judge. A command that is neither here nor in [`MACHINE`] fails the
/// test.
const PERSON: [&str; 3] = ["gh secret set ", "gh pr create ", "gh pr merge "];
/// Commands that a machine runs as written.
const MACHINE: [&str; 4] = ["cargo xtask ", "git ", "minisign -G ", "rustup target add "];

/// Who runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// A person with rights on GitHub.
    Person,
    /// Any machine with a checkout.
    Machine,
}

/// The commands in the blocks of `section`, in order, with `version` for its placeholder.
///
/// # Panics
/// If the section is missing, has no command, or has a block outside of a step, because an overlooked command would
/// never be run.
pub(crate) fn commands(page: &str, section: &str, version: &str) -> Vec<String> {
    let heading = format!("## {section}");
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let mut commands = Vec::new();
    for line in lines {
        match line.strip_prefix(BLOCK) {
            Some(command) => commands.push(command.replace(PLACEHOLDER, version)),
            None => assert!(!line.starts_with("    "), "neither text nor block: {line}"),
        }
    }
    assert!(!commands.is_empty(), "no command in `{section}`");
    commands
}

/// The block of the subsection `title`, with `version` for its placeholder.
///
/// # Panics
/// If there is none.
pub(crate) fn script(page: &str, title: &str, version: &str) -> String {
    let heading = format!("### {title}");
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let lines = lines.filter_map(|line| line.strip_prefix("    "));
    let script = lines.collect::<Vec<_>>().join("\n");
    assert!(!script.is_empty(), "no command in `{title}`");
    script.replace(PLACEHOLDER, version)
}

/// Who runs `command`; `None` for commands on neither list.
pub(crate) fn who(command: &str) -> Option<Who> {
    let is = |list: &[&str]| list.iter().any(|known| command.starts_with(*known));
    match (is(&PERSON), is(&MACHINE)) {
        (true, _) => Some(Who::Person),
        (_, true) => Some(Who::Machine),
        _ => None,
    }
}

#[test]
fn commands_are_read_as_written() {
    let page = "## A\n\n1. Do\n   this:\n\n       git x X.Y.Z\n       gh pr merge --rebase\n\n## B\n\n       no\n";
    let found = commands(page, "A", "1.2.3");
    assert_eq!(found, ["git x 1.2.3", "gh pr merge --rebase"]);
    assert_eq!(who(&found[0]), Some(Who::Machine));
    assert_eq!(who(&found[1]), Some(Who::Person));
    assert_eq!(who("curl https://x.example | sh"), None);
}

#[test]
#[should_panic(expected = "neither text nor block")]
fn blocks_outside_of_steps_are_rejected() {
    commands("## A\n\n    git x\n", "A", "1");
}
