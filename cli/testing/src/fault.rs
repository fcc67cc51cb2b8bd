//! Faults. A test decides beforehand what goes wrong, and at which call.

use std::io;

use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::state::Access;

const FILE: &str = "faults.json";

/// A fault: the calls that it strikes, and its effect on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The program: `multipass`, or a tool of the guest such as `docker`.
    pub program: String,
    /// The command, which is the first argument; `None` matches any.
    pub command: Option<String>,
    /// A part of the command line, its words joined by spaces.
    pub containing: Option<String>,
    /// The first matching call to strike, counted from 1.
    pub nth: u32,
    /// How many calls to strike from then on; `None` strikes all.
    pub times: Option<u32>,
    /// The effect.
    pub effect: Effect,
    /// How many matching calls there have been.
    pub seen: u32,
}

/// The effect of a fault on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// `polis` is killed before the request reaches the daemon.
    KillBefore,
    /// `polis` is killed once the request has taken effect, before it gets the answer.
    KillAfter,
    /// Only the call is killed, once it has taken effect.
    DieAfter,
    /// The call has no effect and never ends.
    Hang,
    /// It takes effect, and the call never ends.
    HangAfter,
    /// The call takes this many milliseconds longer.
    Slow(u64),
    /// The call has no effect and only does this.
    Exit {
        /// The exit code.
        code: u8,
        /// The text on standard error.
        stderr: String,
    },
    /// The client cannot reach the daemon.
    Access(Access),
    /// Everything on standard error is printed twice.
    DoubledStderr,
    /// The daemon works on it for this many milliseconds, and on nothing else, even if the client is gone.
    Busy(u64),
    /// This many lines of the daemon's log come first on standard error.
    LogLines(u32),
    /// A spinner precedes everything on standard output.
    AnsiNoise,
    /// `exec`: SSH no longer answers, and the client says so.
    SshFails,
    /// `transfer`: only this many bytes arrive, without an error.
    Cut(u64),
    /// `launch`: `polis` is killed while the daemon prepares the instance, which takes this many milliseconds.
    KillWhilePreparing(u64),
    /// `launch`: the client gives up with code 5, and the daemon continues.
    ClientTimeout,
    /// `launch`: the daemon gives up waiting for cloud-init, and the instance continues.
    InitTimeout,
    /// `launch`: SSH never answers, and the instance's state is Unknown.
    SshTimeout,
    /// `launch`: the instance dies while it starts, and is removed.
    DiesStarting,
    /// `launch`: this step of the provisioning fails with this message, and the launch still reports success.
    StepFails(String, String),
    /// `launch`: the guest never gets the user-data, and the launch still reports success.
    UserDataIgnored,
    /// `launch`: cloud-init ends degraded.
    Degraded,
}

impl Fault {
    /// A fault of the first call of `multipass COMMAND`.
    pub fn of(command: &str, effect: Effect) -> Self {
        Self {
            command: Some(command.to_owned()),
            ..Self::any(effect)
        }
    }

    /// A fault of the first call of `multipass`, whatever its command.
    pub fn any(effect: Effect) -> Self {
        Self {
            program: "multipass".to_owned(),
            command: None,
            containing: None,
            nth: 1,
            times: Some(1),
            effect,
            seen: 0,
        }
    }

    /// A fault of the first call of `program` in the guest.
    pub fn in_guest(program: &str, effect: Effect) -> Self {
        Self {
            program: program.to_owned(),
            ..Self::any(effect)
        }
    }

    /// Strikes only calls whose command line contains `part`.
    #[must_use]
    pub fn containing(mut self, part: &str) -> Self {
        self.containing = Some(part.to_owned());
        self
    }

    /// Strikes from the `nth` matching call on, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.nth = nth;
        self
    }

    /// Strikes this many calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes all further calls.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Counts a call; returns whether it is struck.
    fn strikes(&mut self, program: &str, args: &[String]) -> bool {
        let command = args.first().map(String::as_str);
        let line = args.join(" ");
        let meant = self.program == program
            && (self.command.is_none() || self.command.as_deref() == command)
            && self
                .containing
                .as_ref()
                .is_none_or(|part| line.contains(part.as_str()));
        if !meant {
            return false;
        }
        self.seen += 1;
        self.seen >= self.nth && self.times.is_none_or(|times| self.seen < self.nth + times)
    }
}

/// Adds a fault to the sandbox.
///
/// # Errors
/// When the sandbox cannot be written.
pub fn add(store: &Store, fault: Fault) -> io::Result<()> {
    let locked = store.lock()?;
    let mut faults: Vec<Fault> = locked.read(FILE)?;
    faults.push(fault);
    locked.write(FILE, &faults)
}

/// Removes all faults.
///
/// # Errors
/// When the sandbox cannot be written.
pub fn clear(store: &Store) -> io::Result<()> {
    store.lock()?.write(FILE, &Vec::<Fault>::new())
}

/// The effects on this call, in the order in which the faults were added.
///
/// # Errors
/// When the sandbox cannot be read or written.
pub fn take(store: &Store, program: &str, args: &[String]) -> io::Result<Vec<Effect>> {
    let locked = store.lock()?;
    let mut faults: Vec<Fault> = locked.read(FILE)?;
    if faults.is_empty() {
        return Ok(Vec::new());
    }
    let mut effects = Vec::new();
    for fault in &mut faults {
        if fault.strikes(program, args) {
            effects.push(fault.effect.clone());
        }
    }
    locked.write(FILE, &faults)?;
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_from_its_nth_call_for_a_number_of_times() {
        let mut fault = Fault::of("exec", Effect::Hang)
            .containing("pull")
            .nth(2)
            .times(2);
        let call = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let struck: Vec<bool> = [
            "exec x pull",
            "exec x",
            "exec y pull",
            "list pull",
            "exec pull",
            "exec pull",
        ]
        .iter()
        .map(|line| fault.strikes("multipass", &call(line)))
        .collect();
        assert_eq!(struck, [false, false, true, false, true, false]);
    }
}
