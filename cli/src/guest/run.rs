//! The user's commands inside the VM, whose exit codes must be passed on unchanged.
//!
//! Some codes cannot pass through Multipass: on 4, it runs the command again endlessly; 1, 2, 5 and 255 are its own. So a wrapper
//! writes such a code to a file and exits with 123. If long output cannot pass either, as on Windows, it goes to files too. The
//! wrapper needs only a shell and a home directory, so it works before the VM is provisioned.

use crate::instance::vm;
use crate::multipass::call::{Call, Payload};

/// Where commands leave their output and exit codes in the guest.
pub(crate) const RUNS: &str = "/home/ubuntu/.polis-runs";

/// The exit code of the wrapper when the command's code is in the file.
pub(crate) const CODE_IN_FILE: i32 = 123;
/// The exit code of the wrapper when it cannot write the file.
pub(crate) const UNRECORDED: i32 = 124;
/// The content of the file when there is no stack to run the command in, or Docker is missing.
pub(crate) const NO_STACK: &str = "no-stack";

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The workspace, the agent's container.
    Workspace {
        /// With a terminal.
        terminal: bool,
        /// As root, not as the agent's user.
        root: bool,
    },
    /// The directory of the stack in the VM; the stack has to exist.
    Stack,
    /// The VM itself.
    Machine,
}

/// Options of `docker compose exec` for the agent's user (uid 1000 in the workspace's image), and for root.
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

/// The words that run a command in the workspace without a terminal, as its user or as root. They set the environment of a
/// login, of which Docker sets only HOME. `options` are further options of `docker compose exec`.
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

/// One run of a command, with a directory in the guest for its files.
#[derive(Debug)]
pub(crate) struct CommandRun {
    notes: String,
}

/// The start of both wrappers: the directory for files, and whether the stack has to exist.
///
/// Ctrl-C ends only the command, whose code is passed on. In the workspace, Docker sets the mark.
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

/// Also removes what killed runs have left more than a day ago.
const FORGET: &str = r#"trap '(( $? == 0 )) || exit 10' EXIT
rm -rf -- "$1"
find "${1%/*}" -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf -- {} +"#;

impl CommandRun {
    /// A run with a unique name.
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |time| time.as_nanos());
        let process = std::process::id();
        Self {
            notes: format!("{RUNS}/polis-{process}-{now}"),
        }
    }

    /// Runs `command` in `place`; with `captured`, its output goes to files.
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

    /// The call that transfers the input of a captured command.
    pub(crate) fn input(&self, bytes: Vec<u8>) -> Call {
        let target = format!("{}:{}", vm(), self.file("stdin"));
        let args = ["transfer", "--parents", "-", &target];
        Call::new("transfer the command's input", &args).with(Payload::new("stdin", bytes))
    }

    /// The variable that marks the processes of this run.
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

    /// The path of a file of the run: `code`, and `stdout` and `stderr` if it is captured.
    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.notes)
    }

    /// The call that removes the run's files.
    pub(crate) fn forget(&self) -> Call {
        Call::guest("clean up after a command", FORGET, &[&self.notes])
    }
}
