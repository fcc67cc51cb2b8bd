//! The workspace of this process. It is chosen once from the settings, before the first call of Multipass; only `list` looks at the
//! others.

use std::sync::OnceLock;

/// The name of the default workspace.
pub(crate) const DEFAULT: &str = "default";
/// The VM of the default workspace, and the prefix of the other VMs.
const VM: &str = "polis";
/// The maximum length of a name: the VM's name is a host name, of at most 63 characters.
const LONGEST: usize = 63 - VM.len() - 1;
/// The commands that work on a workspace, as typed.
const VERBS: [&str; 18] = [
    "start",
    "stop",
    "status",
    "delete",
    "doctor",
    "exec",
    "shell",
    "cp",
    "sync",
    "ssh-config",
    "connect",
    "_ssh-proxy",
    "logs",
    "security",
    "blocked",
    "agent",
    "snapshot",
    "port",
];
/// The other commands.
#[cfg(test)]
const OTHERS: [&str; 5] = ["list", "update", "version", "completions", "man"];

static CHOSEN: OnceLock<Instance> = OnceLock::new();
static UNCHOSEN: OnceLock<Instance> = OnceLock::new();

/// A workspace and its VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    name: String,
    vm: String,
    /// Whether commands must name it.
    is_given: bool,
}

impl Instance {
    /// The workspace `name`, which has passed [`check`]; `is_given` unless it applies by default.
    pub(crate) fn new(name: &str, is_given: bool) -> Self {
        let vm = match name {
            DEFAULT => VM.to_owned(),
            other => format!("{VM}-{other}"),
        };
        Self {
            name: name.to_owned(),
            vm,
            is_given,
        }
    }

    /// `text` with `--name` added to every command of polis that works on a workspace.
    fn named(&self, text: &str) -> String {
        if !self.is_given {
            return text.to_owned();
        }
        let mut named = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("polis ") {
            let (before, after) = rest.split_at(at + VM.len());
            named.push_str(before);
            rest = after;
            let begins = before[..at].chars().next_back();
            let begins = begins.is_none_or(|c| c == ' ' || c == '`');
            let word = |c: char| c.is_ascii_lowercase() || c == '-' || c == '_';
            let end = after[1..].find(|c| !word(c)).unwrap_or(after.len() - 1);
            if begins && VERBS.contains(&&after[1..=end]) {
                named.push_str(" --name ");
                named.push_str(&self.name);
            }
        }
        named + rest
    }
}

/// Chooses the workspace of this process; only the first call counts.
pub(crate) fn choose(instance: Instance) {
    let _already_chosen = CHOSEN.set(instance);
}

fn chosen() -> &'static Instance {
    let default = || Instance::new(DEFAULT, false);
    CHOSEN
        .get()
        .unwrap_or_else(|| UNCHOSEN.get_or_init(default))
}

/// The name of the workspace.
pub(crate) fn name() -> &'static str {
    &chosen().name
}

/// The name of the workspace's VM.
pub(crate) fn vm() -> &'static str {
    &chosen().vm
}

/// `text` with `--name` added to the commands in it, if they need it. It must not contain untrusted text.
pub(crate) fn named(text: &str) -> String {
    chosen().named(text)
}

/// The workspace whose VM is `vm`; none if the VM does not belong to polis.
pub(crate) fn of_vm(vm: &str) -> Option<&str> {
    match vm.strip_prefix(VM)? {
        "" => Some(DEFAULT),
        rest => rest
            .strip_prefix('-')
            .filter(|name| *name != DEFAULT && check(name).is_ok()),
    }
}

/// Whether Multipass accepts `name` for an instance or a snapshot.
pub(crate) fn is_valid(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Checks the name of a workspace. Multipass accepts capitals too, but the name is also that of a directory, and some file
/// systems ignore case.
pub(crate) fn check(name: &str) -> Result<String, String> {
    let lower = !name.contains(|c: char| c.is_ascii_uppercase());
    match lower && name.len() <= LONGEST && is_valid(name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "invalid name `{name}`: expected at most {LONGEST} lower-case letters, digits and hyphens, starting with a letter and not ending with a hyphen"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn names_are_host_names() {
        let longest = "a".repeat(LONGEST);
        for good in ["a", "two", "my-vm-2", "default", &longest] {
            assert!(check(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(LONGEST + 1);
        for bad in [
            "", "1a", "-a", "a-", "a_b", "a.b", "Two", "ä", "a b", "../a", &longer,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn our_vms_are_recognised_by_name() {
        for (vm, name) in [
            ("polis", Some("default")),
            ("polis-two", Some("two")),
            ("polis-a-b", Some("a-b")),
            ("polis-default", None),
            ("polis-", None),
            ("polis-Two", None),
            ("polistwo", None),
            ("primary", None),
        ] {
            assert_eq!(of_vm(vm), name, "{vm}");
            if let Some(name) = name {
                assert_eq!(Instance::new(name, true).vm, vm);
            }
        }
    }

    #[test]
    fn proposed_commands_name_the_workspace() {
        let two = Instance::new("two", true);
        for (text, named) in [
            ("polis start", "polis --name two start"),
            (
                "multipass stop --force polis-two, then: polis start   (again)",
                "multipass stop --force polis-two, then: polis --name two start   (again)",
            ),
            (
                "polis delete --purge, then: polis start",
                "polis --name two delete --purge, then: polis --name two start",
            ),
            (
                "run `polis ssh-config --install`",
                "run `polis --name two ssh-config --install`",
            ),
            ("POLIS_X=1 polis start", "POLIS_X=1 polis --name two start"),
            ("polis update", "polis update"),
            (
                "the folder of polis startles",
                "the folder of polis startles",
            ),
            ("/opt/polis start", "/opt/polis start"),
            ("polis ", "polis "),
            ("", ""),
        ] {
            assert_eq!(two.named(text), named);
            assert_eq!(Instance::new(DEFAULT, false).named(text), text);
        }
        // If another workspace is the default.
        let default = Instance::new(DEFAULT, true);
        assert_eq!(default.named("polis stop"), "polis --name default stop");
    }

    #[test]
    fn every_command_is_known() {
        let command = Cli::command();
        let mut known: Vec<&str> = [&VERBS[..], &OTHERS].concat();
        let mut found: Vec<&str> = command
            .get_subcommands()
            .flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_all_aliases()))
            .collect();
        known.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, known);
    }
}
