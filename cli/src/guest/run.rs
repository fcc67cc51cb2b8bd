//! Commands of the user inside the VM, whose exit code must come back as it is.
//!
//! Some codes cannot pass through Multipass: a 4 makes it run the command again, for ever; 1, 2,
//! 5 and 255 are its own. The command is wrapped: such a code is left in a file, and 123 sent.

use crate::multipass::call::Call;
use crate::multipass::state::NAME;

/// What stands for a code that is in the file.
pub(crate) const CODE_IN_FILE: i32 = 123;

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the workspace, the agent's container.
    Workspace {
        /// With a terminal.
        terminal: bool,
    },
    /// In the VM itself.
    Machine,
}

const WRAPPER: &str = r#"note=/opt/polis/.codes/$1
shift
cd /opt/polis 2>/dev/null
"$@"
code=$?
case $code in
  1|2|4|5|123|255) mkdir -p "${note%/*}" && printf '%d\n' "$code" >"$note" && exit 123; exit 124 ;;
  *) exit "$code" ;;
esac"#;

const CODE: &str = r#"trap '(( $? == 0 )) || exit 10' EXIT
note=/opt/polis/.codes/$1
cat "$note" && rm -f "$note""#;

/// `command` in `place`; `note` is a name for this run alone.
pub(crate) fn command(place: Place, command: &[String], note: &str) -> Call {
    let mut args = vec![note];
    match place {
        Place::Workspace { terminal } => {
            args.extend(["docker", "compose", "exec"]);
            args.extend((!terminal).then_some("-T"));
            args.push("workspace");
        }
        Place::Machine => {}
    }
    args.extend(command.iter().map(String::as_str));
    Call::guest("run a command in the VM", WRAPPER, &args)
}

/// The call that fetches the code left in the file.
pub(crate) fn code(note: &str) -> Call {
    Call::guest("read how the command ended", CODE, &[note])
}

/// A name for one run.
pub(crate) fn note() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_nanos());
    format!("{NAME}-{}-{now}", std::process::id())
}
