//! A call of Multipass as data, so that a plan can print exactly what will run.

use std::fmt;
use std::sync::Arc;

use polis_base::Digest;

use crate::instance::vm;

#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// What it is for, as in `could not {purpose}`.
    pub(crate) purpose: &'static str,
    pub(crate) args: Vec<String>,
    /// Its input, in place of the argument `-`.
    pub(crate) payload: Option<Payload>,
    pub(crate) times: Times,
}

/// How often a call of a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Once,
    /// Repeatedly, until its answer shows that the condition holds.
    Until(&'static str),
    /// Repeatedly while the call before it runs, to show progress.
    Meanwhile,
    /// During the launch, if time allows; the following steps do the rest.
    Ahead,
}

/// The input of a call.
#[derive(Clone)]
pub(crate) struct Payload {
    /// A description, and its file name if it is a file.
    pub(crate) name: &'static str,
    pub(crate) bytes: Arc<[u8]>,
    /// Whether even its size and digest are secret.
    secret: bool,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({})", self.name)
    }
}

impl Payload {
    pub(crate) fn new(name: &'static str, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            name,
            bytes: bytes.into(),
            secret: false,
        }
    }

    /// A payload of which only the name is shown.
    pub(crate) fn secret(name: &'static str, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            secret: true,
            ..Self::new(name, bytes)
        }
    }

    /// Its size and digest for a plan; none if it is secret.
    pub(crate) fn facts(&self) -> Option<(usize, Digest)> {
        (!self.secret).then(|| (self.bytes.len(), Digest::of(&self.bytes)))
    }
}

impl Call {
    pub(crate) fn new(purpose: &'static str, args: &[&str]) -> Self {
        Self {
            purpose,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            payload: None,
            times: Times::Once,
        }
    }

    /// A script in the guest. `-n` keeps Multipass from mapping a directory of the host and from printing errors twice.
    pub(crate) fn guest(purpose: &'static str, script: &str, args: &[&str]) -> Self {
        let script = script_text(script);
        let head = ["exec", "-n", vm(), "--", "bash", "-c", &script, "polis"];
        Self::new(purpose, &[&head[..], args].concat())
    }

    /// Adds a payload in place of the argument `-`.
    pub(crate) fn with(mut self, payload: Payload) -> Self {
        self.payload = Some(payload);
        self
    }

    pub(crate) fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Whether it runs a command in the guest.
    pub(crate) fn is_guest(&self) -> bool {
        self.args.first().is_some_and(|arg| arg == "exec")
    }

    /// The arguments with `path` in place of `-`.
    pub(crate) fn args_with_file(&self, path: &str) -> Vec<String> {
        let place = |arg: &String| {
            if arg == "-" {
                path.to_owned()
            } else {
                arg.clone()
            }
        };
        self.args.iter().map(place).collect()
    }

    /// The call as typed in a shell; a script is shown by its purpose.
    pub(crate) fn to_text(&self) -> String {
        let shown = |arg: &String| match arg.contains('\n') {
            true => format!("'[script: {}]'", self.purpose),
            false => quoted(arg),
        };
        let words: Vec<String> = self.args.iter().map(shown).collect();
        format!("multipass {}", words.join(" "))
    }
}

/// The script without comments and blank lines, since Windows limits the length of a command line.
fn script_text(script: &str) -> String {
    let lines = script
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// An argument quoted for a POSIX shell.
fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_arguments_is_reversible() {
        assert_eq!(quoted("--cloud-init"), "--cloud-init");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_file_can_replace_standard_input() {
        let call = Call::new("x", &["transfer", "-", "polis:/a"]);
        assert_eq!(
            call.args_with_file(r"C:\x y"),
            ["transfer", r"C:\x y", "polis:/a"]
        );
    }

    #[test]
    fn comments_are_removed_from_scripts() {
        let call = Call::guest("x", "# why\nset -e\n\n  # more\necho '#'\n", &["a"]);
        assert_eq!(call.args[6..], ["set -e\necho '#'", "polis", "a"]);
        assert!(call.to_text().ends_with("'[script: x]' polis a"));
    }
}
