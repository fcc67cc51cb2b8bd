//! A second backend of `multipass`. Its guest is not a directory but a container of this machine's Docker engine, with systemd as
//! its first process, in which cloud-init and a second Docker engine really run.
//!
//! The process that sets [`MACHINE`] has created the container, in which nothing has run yet. `launch` gives it the user-data
//! and starts it. Command lines are parsed, recorded and struck by faults as in the other backend; unsupported ones are refused.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::call::Call;
use crate::commands::answers;
use crate::environment::MACHINE;
use crate::grammar::Parsed;
use crate::process;
use crate::store::state::Power;

/// The name of the only instance.
const NAME: &str = "polis";
/// Where cloud-init finds its user-data.
const SEED: &str = "/var/lib/cloud/seed";
/// The files that mark an instance as deleted, and as having been up.
const DELETED: &str = "machine-deleted";
const LEASED: &str = "machine-leased";
/// Tests whether logins work: systemd has come up far enough to allow them, and cloud-init has created the user.
const LOGIN: &str =
    "test -S /run/systemd/private && test ! -e /run/nologin && id ubuntu >/dev/null 2>&1";
/// The environment of an SSH session.
const SESSION: [&str; 6] = [
    "HOME=/home/ubuntu",
    "USER=ubuntu",
    "LOGNAME=ubuntu",
    "SHELL=/bin/bash",
    "LANG=C.UTF-8",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin",
];

/// The container, and where the sandbox stores what Docker does not.
#[derive(Debug)]
pub(crate) struct Machine {
    container: String,
    deleted: PathBuf,
    leased: PathBuf,
}

impl Machine {
    /// The machine named by the environment, for the sandbox of `call`.
    pub(crate) fn from_environment(call: &Call) -> Option<Self> {
        let container = std::env::var(MACHINE).ok()?;
        let mark = |name| call.store.dir().join(name);
        Some(Self {
            container,
            deleted: mark(DELETED),
            leased: mark(LEASED),
        })
    }

    /// Carries out a parsed `multipass COMMAND`. `None` leaves it to the other backend.
    ///
    /// # Errors
    /// When Docker cannot be started or the sandbox cannot be written.
    pub(crate) fn run(
        &self,
        call: &mut Call,
        command: &str,
        parsed: &Parsed,
    ) -> io::Result<Option<u8>> {
        if matches!(command, "version" | "get") {
            return Ok(None);
        }
        if let Err(code) = call.daemon(command)? {
            return Ok(Some(code));
        }
        let power = self.power()?;
        Ok(Some(match command {
            "list" => {
                let shown = power.map(|power| (NAME, power, None, "Ubuntu 24.04 LTS"));
                call.out(&answers::list(shown.into_iter()));
                0
            }
            "launch" => self.launch(call, parsed, power)?,
            "start" => self.start(call, power)?,
            "stop" => self.stop(call, power, parsed.has("force"))?,
            "delete" => self.delete(call, power, parsed.has("purge"))?,
            "exec" => self.exec(call, parsed, power)?,
            "transfer" => self.transfer(call, &parsed.positional, power)?,
            other => call.refuse(&format!(
                "{other}: a machine in a container cannot do this\n"
            )),
        }))
    }

    fn docker(&self, words: &[&str]) -> io::Result<String> {
        let output = process::command("docker").args(words).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("docker {words:?}: {said}")))
    }

    /// The state that the daemon would report; `None` if the instance is not launched yet, or purged.
    fn power(&self) -> io::Result<Option<Power>> {
        let listed = self.docker(&["ps", "--all", "--quiet", "--filter", &self.filter()])?;
        if listed.is_empty() {
            return Ok(None);
        }
        if self.deleted.exists() {
            return Ok(Some(Power::Deleted));
        }
        let format = "{{.State.Status}}";
        let status = self.docker(&["inspect", "--format", format, &self.container])?;
        Ok(match status.as_str() {
            "created" => None,
            "running" | "restarting" => {
                let words = ["exec", &self.container, "sh", "-c", LOGIN];
                let output = process::command("docker").args(words).output()?;
                let up = output.status.success();
                if up {
                    fs::write(&self.leased, "")?;
                }
                Some(match (up, self.leased.exists()) {
                    (true, _) => Power::Running,
                    (false, false) => Power::Unknown,
                    (false, true) => Power::Starting,
                })
            }
            _ => Some(Power::Stopped),
        })
    }

    fn filter(&self) -> String {
        format!("name=^/{}$", self.container)
    }

    /// Like the real one, succeeds whatever happens in cloud-init.
    fn launch(&self, call: &mut Call, parsed: &Parsed, power: Option<Power>) -> io::Result<u8> {
        let user_data = match parsed.value("cloud-init") {
            Some("-") => call.read_stdin()?,
            Some(path) => fs::read(path)?,
            None => Vec::new(),
        };
        if power.is_some() {
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
        call.stage(&format!("Starting {NAME}"));
        self.wait_for_ssh()?;
        call.stage("Waiting for initialization to complete");
        // Multipass ignores the exit code, and so does this.
        let _whatever = self.inside(&["cloud-init", "status", "--wait"]).output()?;
        call.clear();
        call.out(&format!("Launched: {NAME}\n"));
        Ok(0)
    }

    /// Waits until logins work.
    fn wait_for_ssh(&self) -> io::Result<()> {
        let ready = format!("until {LOGIN}; do sleep 0.1; done");
        self.docker(&["exec", &self.container, "timeout", "60", "sh", "-c", &ready])
            .map(drop)
    }

    fn start(&self, call: &mut Call, power: Option<Power>) -> io::Result<u8> {
        call.stage(&format!("Starting {NAME}"));
        if let Err(message) = answers::before_start(NAME, power) {
            call.clear();
            return Ok(call.fail("start", &message));
        }
        if power == Some(Power::Stopped) {
            self.docker(&["start", &self.container])?;
            call.end.changed_vm = true;
        }
        self.wait_for_ssh()?;
        call.clear();
        Ok(0)
    }

    fn stop(&self, call: &mut Call, power: Option<Power>, force: bool) -> io::Result<u8> {
        call.stage(&format!("Stopping {NAME}"));
        let refused = match (answers::absent(NAME, power), power) {
            (Some(message), _) => Err(message),
            (None, Some(power)) if !force => answers::before_shutdown(NAME, power)
                .map_err(|message| format!("{message}\nUse --force to power it off.")),
            _ => Ok(()),
        };
        if let Err(message) = refused {
            call.clear();
            return Ok(call.fail("stop", &message));
        }
        if power != Some(Power::Stopped) {
            self.power_off(force)?;
            call.end.changed_vm = true;
        }
        call.clear();
        Ok(0)
    }

    /// Presses the power button, or cuts the power.
    fn power_off(&self, plug: bool) -> io::Result<()> {
        let words: &[&str] = if plug {
            &["kill"]
        } else {
            &["stop", "--time", "60"]
        };
        self.docker(&[words, &[&self.container]].concat()).map(drop)
    }

    fn delete(&self, call: &mut Call, power: Option<Power>, purge: bool) -> io::Result<u8> {
        if power.is_none() {
            let message = answers::absent(NAME, power).unwrap_or_default();
            return Ok(call.fail("delete", &message));
        }
        if purge {
            self.docker(&["rm", "--force", "--volumes", &self.container])?;
        } else {
            if !matches!(power, Some(Power::Stopped | Power::Deleted)) {
                self.power_off(false)?;
            }
            fs::write(&self.deleted, "")?;
        }
        call.end.changed_vm = true;
        Ok(0)
    }

    /// Prepares a command as the user of an SSH session.
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

    /// Runs a command with our own streams, and starts the machine if necessary.
    fn exec(&self, call: &mut Call, parsed: &Parsed, power: Option<Power>) -> io::Result<u8> {
        match answers::credentials(NAME, power) {
            Ok(true) => {}
            Ok(false) => {
                let code = self.start(call, power)?;
                if code != 0 {
                    return Ok(code);
                }
            }
            Err(message) => return Ok(call.fail("exec", &message)),
        }
        let words = parsed.positional.get(1..).unwrap_or_default();
        let directory = parsed.value("working-directory");
        // A shell looks up the first word, as over SSH.
        let script = match directory {
            Some(_) => "cd \"$1\" && shift && \"$@\"",
            None => "\"$@\"",
        };
        let mut line = vec!["bash", "-c", script, "bash"];
        line.extend(directory);
        line.extend(words.iter().map(String::as_str));
        Ok(code(self.inside(&line).status()?))
    }

    /// Copies one file into the guest or out of it.
    fn transfer(&self, call: &mut Call, ends: &[String], power: Option<Power>) -> io::Result<u8> {
        let refused = match answers::credentials(NAME, power) {
            Ok(true) => None,
            Ok(false) => Some(format!("instance \"{NAME}\" is not running")),
            Err(message) => Some(message),
        };
        if let Some(message) = refused {
            return Ok(call.fail("transfer", &message));
        }
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
                    "-" => {
                        let mut out = io::stdout();
                        let _reader_gone = io::Write::write_all(&mut out, &output.stdout)
                            .and_then(|()| io::Write::flush(&mut out));
                    }
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

/// The exit code that SSH would pass on; a command killed by a signal has none.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.filter(|code| *code <= 128).unwrap_or(255)
}
