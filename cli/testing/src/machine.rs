//! A second backend of `multipass`: instead of a directory, the guest is a container of this machine's Docker engine with
//! systemd as its first process, in which cloud-init and a Docker engine of its own really run.
//!
//! Whoever sets [`MACHINE`] has made the container; nothing has run in it yet. `launch` gives it the user-data and starts
//! it. Command lines are read, recorded and made to fail as with the other backend; what is not done here is refused.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::json;

use crate::commands::call::Call;
use crate::grammar::Parsed;
use crate::process;

/// Names the container to the double.
pub(crate) const MACHINE: &str = "FAKE_MULTIPASS_MACHINE";
/// The only instance that there is.
const NAME: &str = "polis";
/// Where cloud-init finds its user-data, and the mark of an instance that is in the trash.
const SEED: &str = "/var/lib/cloud/seed";
const DELETED: &str = "machine-deleted";
/// Whether somebody can log in: systemd has come up far enough to allow it, and cloud-init has created the user.
const LOGIN: &str =
    "test -S /run/systemd/private && test ! -e /run/nologin && id ubuntu >/dev/null 2>&1";
/// What a session over SSH has in its environment.
const SESSION: [&str; 6] = [
    "HOME=/home/ubuntu",
    "USER=ubuntu",
    "LOGNAME=ubuntu",
    "SHELL=/bin/bash",
    "LANG=C.UTF-8",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin",
];

/// The container, and where the world remembers what Docker does not.
#[derive(Debug)]
pub(crate) struct Machine {
    container: String,
    deleted: PathBuf,
}

/// What the daemon would say of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not launched yet, or purged.
    Nothing,
    /// On, and nobody can log in yet.
    Starting,
    Running,
    Stopped,
    Deleted,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Deleted => "Deleted",
        }
    }
}

impl Machine {
    /// The machine that the environment names, for the world of `call`.
    pub(crate) fn from_environment(call: &Call) -> Option<Self> {
        let container = std::env::var(MACHINE).ok()?;
        let deleted = call.store.dir().join(DELETED);
        Some(Self { container, deleted })
    }

    /// Carries out `multipass COMMAND`, already read. `None`: the other backend's answer is as good.
    ///
    /// # Errors
    /// When Docker cannot be started or the world cannot be written.
    pub(crate) fn run(
        &self,
        call: &mut Call,
        command: &str,
        parsed: &Parsed,
    ) -> io::Result<Option<u8>> {
        if matches!(command, "version" | "get") {
            return Ok(None);
        }
        let state = self.state()?;
        if command == "list" {
            self.list(call, state);
            return Ok(Some(0));
        }
        if command == "launch" {
            return self.launch(call, parsed, state).map(Some);
        }
        if state == State::Nothing {
            let message = format!("instance \"{NAME}\" does not exist");
            return Ok(Some(call.fail(command, &message)));
        }
        match command {
            "start" | "stop" => self.power(call, command, state).map(Some),
            "delete" => self.delete(call, parsed.has("purge")).map(Some),
            "exec" | "transfer" if state == State::Deleted => {
                Ok(Some(call.fail(command, "instance \"polis\" is deleted")))
            }
            "exec" => {
                if state == State::Stopped {
                    self.docker(&["start", &self.container])?;
                }
                if state != State::Running {
                    self.wait_for_ssh()?;
                }
                let words = parsed.positional.get(1..).unwrap_or_default();
                self.exec(words, parsed.value("working-directory"))
                    .map(Some)
            }
            "transfer" => self.transfer(call, &parsed.positional).map(Some),
            other => {
                let text = format!("{other}: a machine in a container cannot do this\n");
                Ok(Some(call.refuse(&text)))
            }
        }
    }

    fn docker(&self, words: &[&str]) -> io::Result<String> {
        let output = process::command("docker").args(words).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("docker {words:?}: {said}")))
    }

    fn state(&self) -> io::Result<State> {
        let listed = self.docker(&["ps", "--all", "--quiet", "--filter", &self.filter()])?;
        if listed.is_empty() {
            return Ok(State::Nothing);
        }
        if self.deleted.exists() {
            return Ok(State::Deleted);
        }
        let format = "{{.State.Status}}";
        let status = self.docker(&["inspect", "--format", format, &self.container])?;
        Ok(match status.as_str() {
            "created" => State::Nothing,
            "running" | "restarting" => {
                let words = ["exec", &self.container, "sh", "-c", LOGIN];
                let output = process::command("docker").args(words).output()?;
                match output.status.success() {
                    true => State::Running,
                    false => State::Starting,
                }
            }
            _ => State::Stopped,
        })
    }

    fn filter(&self) -> String {
        format!("name=^/{}$", self.container)
    }

    fn list(&self, call: &Call, state: State) {
        let entry = json!({
            "name": NAME,
            "state": state.word(),
            "ipv4": [],
            "release": "Ubuntu 24.04 LTS",
        });
        let list = if state == State::Nothing {
            json!([])
        } else {
            json!([entry])
        };
        call.out(&format!("{:#}\n", json!({ "list": list })));
    }

    /// As the real one: success whatever cloud-init ran into.
    fn launch(&self, call: &mut Call, parsed: &Parsed, state: State) -> io::Result<u8> {
        let user_data = match parsed.value("cloud-init") {
            Some("-") => call.read_stdin()?,
            Some(path) => fs::read(path)?,
            None => Vec::new(),
        };
        if state != State::Nothing {
            let message = format!("instance \"{NAME}\" already exists");
            return Ok(call.fail("launch", &message));
        }
        let seed = tempfile::tempdir_in(call.store.dir())?;
        let files = seed.path().join("seed/nocloud");
        fs::create_dir_all(&files)?;
        fs::write(files.join("user-data"), user_data)?;
        let instance = format!("instance-id: {}\nlocal-hostname: {NAME}\n", call.number);
        fs::write(files.join("meta-data"), instance)?;
        // `/.` copies the contents, whether or not the target exists.
        let from = seed.path().join("seed/.").display().to_string();
        self.docker(&["cp", &from, &format!("{}:{SEED}", self.container)])?;
        self.docker(&["start", &self.container])?;
        call.end.changed_vm = true;
        self.wait_for_ssh()?;
        call.spinner("Waiting for initialization to complete");
        // Multipass ignores its exit code, so this does too.
        let _whatever = self.inside(&["cloud-init", "status", "--wait"]).output()?;
        call.clear();
        call.out(&format!("Launched: {NAME}\n"));
        Ok(0)
    }

    /// Until somebody can log in.
    fn wait_for_ssh(&self) -> io::Result<()> {
        let ready = format!("until {LOGIN}; do sleep 0.1; done");
        self.docker(&["exec", &self.container, "timeout", "60", "sh", "-c", &ready])
            .map(drop)
    }

    fn power(&self, call: &mut Call, command: &str, state: State) -> io::Result<u8> {
        match (command, state) {
            (_, State::Deleted) => {
                let message = format!("instance(s) missing\nInstance '{NAME}' is deleted.");
                return Ok(call.fail(command, &message));
            }
            ("start", State::Stopped) => {
                self.docker(&["start", &self.container])?;
                self.wait_for_ssh()?;
            }
            ("stop", State::Running | State::Starting) => {
                self.docker(&["stop", "--time", "60", &self.container])?;
            }
            _ => return Ok(0),
        }
        call.end.changed_vm = true;
        Ok(0)
    }

    fn delete(&self, call: &mut Call, purge: bool) -> io::Result<u8> {
        if purge {
            self.docker(&["rm", "--force", "--volumes", &self.container])?;
        } else {
            self.docker(&["stop", "--time", "60", &self.container])?;
            fs::write(&self.deleted, "")?;
        }
        call.end.changed_vm = true;
        Ok(0)
    }

    /// A command as the user of a session over SSH, not yet started.
    fn inside<S: AsRef<str>>(&self, words: &[S]) -> Command {
        let mut command = process::command("docker");
        command.args(["exec", "--interactive", "--user", "ubuntu"]);
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            command.arg("--tty");
        }
        for variable in SESSION {
            command.args(["--env", variable]);
        }
        command.args(["--workdir", "/home/ubuntu", &self.container]);
        command.args(words.iter().map(AsRef::as_ref));
        command
    }

    /// Runs a command with our own streams.
    fn exec(&self, words: &[String], directory: Option<&str>) -> io::Result<u8> {
        // A shell looks the first word up, as behind SSH.
        let script = match directory {
            Some(_) => "cd \"$1\" && shift && \"$@\"",
            None => "\"$@\"",
        };
        let mut line = vec!["bash", "-c", script, "bash"];
        line.extend(directory);
        line.extend(words.iter().map(String::as_str));
        Ok(code(self.inside(&line).status()?))
    }

    /// One file into the guest or out of it.
    fn transfer(&self, call: &mut Call, ends: &[String]) -> io::Result<u8> {
        let prefix = format!("{NAME}:");
        let [source, target] = ends else {
            return Ok(call.refuse("a machine in a container takes one file at a time\n"));
        };
        match (source.strip_prefix(&prefix), target.strip_prefix(&prefix)) {
            (None, Some(path)) => {
                let bytes = match source.as_str() {
                    "-" => call.read_stdin()?,
                    file => fs::read(file)?,
                };
                self.receive(call, &bytes, path)
            }
            (Some(path), None) => {
                let output = self.inside(&["cat", "--", path]).output()?;
                if !output.status.success() {
                    return Ok(call.fail("transfer", &String::from_utf8_lossy(&output.stderr)));
                }
                match target.as_str() {
                    "-" => call.out(&String::from_utf8_lossy(&output.stdout)),
                    file => fs::write(file, output.stdout)?,
                }
                Ok(0)
            }
            _ => Ok(call.refuse("An instance name is needed for either source or destination\n")),
        }
    }

    fn receive(&self, call: &mut Call, bytes: &[u8], path: &str) -> io::Result<u8> {
        let script = "umask 0002; cat >\"$1\"";
        let mut command = self.inside(&["bash", "-c", script, "bash", path]);
        command.stdin(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut to) = child.stdin.take() {
            io::Write::write_all(&mut to, bytes)?;
        }
        let ended = code(child.wait()?);
        call.end.changed_guest |= ended == 0;
        Ok(if ended == 0 { 0 } else { 2 })
    }
}

/// The code that SSH would hand on: of a command that a signal ended, none.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.filter(|code| *code <= 128).unwrap_or(255)
}
