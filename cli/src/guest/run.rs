//! Commands of the user inside the VM, whose exit code must come back as it is.
//!
//! Some codes cannot pass through Multipass: a 4 makes it run the command again, for ever; 1, 2,
//! 5 and 255 are its own. The command is wrapped: such a code is left in a file, and 123 sent.
//! Where long output cannot pass either, as on Windows, it is left in files too. The wrapper needs
//! nothing but a shell and the home of its user: it also works before anything of ours is there.

use crate::instance::vm;
use crate::multipass::call::{Call, Payload};

/// Where commands leave their output and exit codes in the guest.
pub(crate) const RUNS: &str = "/home/ubuntu/.polis-runs";

/// What stands for a code that is in the file.
pub(crate) const CODE_IN_FILE: i32 = 123;
/// What the wrapper ends with when it cannot write the file.
pub(crate) const UNRECORDED: i32 = 124;
/// What is in the file when there is no stack to run the command in, or Docker is missing.
pub(crate) const NO_STACK: &str = "no-stack";

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// In the workspace, the agent's container.
    Workspace {
        /// With a terminal.
        terminal: bool,
        /// As root, not as the agent's user.
        root: bool,
    },
    /// In the VM, beside the stack, which has to be there.
    Stack,
    /// In the VM itself.
    Machine,
}

/// Options of `docker compose exec` that enter as the agent's user (uid 1000 in the workspace's image), and as root.
const AS_POLIS: [&str; 10] = [
    "--user",
    "polis",
    "--workdir",
    "/home/polis",
    "--env",
    "HOME=/home/polis",
    "--env",
    "USER=polis",
    "--env",
    "LOGNAME=polis",
];
const AS_ROOT: [&str; 10] = [
    "--user",
    "root",
    "--workdir",
    "/root",
    "--env",
    "HOME=/root",
    "--env",
    "USER=root",
    "--env",
    "LOGNAME=root",
];

/// What runs a command in the workspace, without a terminal, as its user or as root, with the environment that a login
/// sets: Docker sets HOME at most. `options` are further ones of `docker compose exec`.
pub(crate) fn in_workspace<'a>(root: bool, options: &[&'a str]) -> Vec<&'a str> {
    let user = if root { AS_ROOT } else { AS_POLIS };
    let words = [
        &["docker", "compose", "exec", "-T"][..],
        &user,
        options,
        &["workspace"],
    ];
    words.concat()
}

/// One run of a command, with a directory in the guest for what it leaves there.
#[derive(Debug)]
pub(crate) struct Run {
    notes: String,
}

/// The begin of both wrappers: where notes are left, and whether the stack has to be there.
///
/// A Ctrl-C is for the command alone, whose code comes back. In the workspace Docker gives it its mark.
const BEGIN: &str = r#"notes=$1 needs=$2
shift 2
trap : INT
leave() { mkdir -p "$notes" && printf '%s\n' "$1" >"$notes/code" && exit 123; exit 124; }
cd /opt/polis 2>/dev/null
[[ $needs == workspace ]] || export "POLIS_RUN=${notes##*/}"
if [[ $needs != nothing ]] && ! { command -v docker && [[ -e docker-compose.yml ]]; } >/dev/null; then
  leave no-stack
fi
"#;

const DIRECT: &str = r#""$@"
code=$?
case $code in
  1|2|4|5|123|124|255) leave "$code" ;;
  *) exit "$code" ;;
esac"#;

const CAPTURED: &str = r#"mkdir -p "$notes" || exit 124
input=$notes/stdin
[[ -e $input ]] || input=/dev/null
"$@" >"$notes/stdout" 2>"$notes/stderr" <"$input"
leave "$?""#;

/// Also takes what a killed polis has left more than a day ago.
const FORGET: &str = r#"trap '(( $? == 0 )) || exit 10' EXIT
rm -rf -- "$1"
find "${1%/*}" -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf -- {} +"#;

impl Run {
    /// A run with a name of its own.
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |time| time.as_nanos());
        let process = std::process::id();
        Self {
            notes: format!("{RUNS}/polis-{process}-{now}"),
        }
    }

    /// `command` in `place`; with `captured` its output goes to files.
    pub(crate) fn command(&self, place: Target, command: &[String], captured: bool) -> Call {
        let needs = match place {
            Target::Machine => "nothing",
            Target::Workspace { .. } => "workspace",
            Target::Stack => "stack",
        };
        let mark = self.mark();
        let mut args = vec![self.notes.as_str(), needs];
        match place {
            Target::Workspace { terminal, root } => {
                let entered = in_workspace(root, &["--env", &mark]).into_iter();
                args.extend(entered.filter(|word| !terminal || *word != "-T"));
            }
            Target::Stack | Target::Machine => {}
        }
        args.extend(command.iter().map(String::as_str));
        let script = if captured { CAPTURED } else { DIRECT };
        Call::guest("run a command in the VM", &[BEGIN, script].concat(), &args)
    }

    /// The call that brings what a captured command is to read.
    pub(crate) fn input(&self, bytes: Vec<u8>) -> Call {
        let target = format!("{}:{}", vm(), self.file("stdin"));
        let args = ["transfer", "--parents", "-", &target];
        Call::new("transfer the command's input", &args).with(Payload::new("stdin", bytes))
    }

    /// What its processes have in their environment, and no others.
    fn mark(&self) -> String {
        let name = self.notes.rsplit('/').next().unwrap_or_default();
        format!("POLIS_RUN={name}")
    }

    /// The call that sends signals to the command.
    pub(crate) fn signal(&self, signals: &[&str]) -> Call {
        let mark = self.mark();
        let args = [&[mark.as_str()], signals].concat();
        Call::guest(
            "signal the command in the VM",
            include_str!("signal.sh"),
            &args,
        )
    }

    /// A file that the run left: `code`, and of a captured one `stdout` and `stderr`.
    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.notes)
    }

    /// The call that removes what the run left.
    pub(crate) fn forget(&self) -> Call {
        Call::guest("clean up after a command", FORGET, &[&self.notes])
    }
}
