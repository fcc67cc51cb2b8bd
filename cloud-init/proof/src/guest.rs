//! A guest: a container with systemd as its first process, or a virtual machine inside a container. cloud-init runs a document in
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::files::{executable, write};
use crate::run::{Ran, Run};
use crate::vm::Vm;

/// The options that systemd and a nested Docker engine need beyond Docker's defaults; not `--privileged`.
const OPTIONS: [&str; 17] = [
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp",
    "--volume=/var/lib/docker",
    "--volume=/var/lib/containerd",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--hostname=polis",
    "--memory=3g",
    "--log-driver=none",
    "--pids-limit=4096",
    "--device=/dev/fuse",
    "--restart=no",
    "--tty",
];

/// A guest of the provisioning has no network, because its stand-ins answer everything.
const NO_NETWORK: &str = "--network=none";

/// The command for logging in to a virtual machine from its container. Commands share a connection, because setting one up takes
/// the emulated processor seconds.
const SSH: [&str; 20] = [
    "ssh",
    "-q",
    "-i",
    "/vm/key",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=20",
    "-o",
    "ControlMaster=auto",
    "-o",
    "ControlPath=/run/vm.ssh",
    "-o",
    "ControlPersist=yes",
    "-p2222",
    "root@127.0.0.1",
];

/// How long a reboot of a virtual machine may take.
const BOOT_LIMIT: Duration = Duration::from_secs(480);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A container that is removed, with its volumes, when this value is dropped.
#[derive(Debug)]
pub struct Guest {
    name: String,
    kind: Kind,
}

/// The kind of a guest, which decides how to log in.
#[derive(Debug)]
enum Kind {
    Container,
    /// A container that runs the emulator, which reads the user-data from the directory `seed`.
    Virtual {
        seed: PathBuf,
    },
}

impl Guest {
    /// Creates a guest from `image` with the user-data `document`, without starting it. `more` are further options of `docker create`;
    /// unless one names a network, there is none. `dir` is for temporary files.
    ///
    /// # Errors
    /// When Docker refuses.
    pub fn new(image: &str, document: &str, more: &[&str], dir: &Path) -> Result<Self> {
        let is_network = |option: &&str| option.starts_with("--network=");
        let none: &[&str] = match more.iter().any(is_network) {
            true => &[],
            false => &[NO_NETWORK],
        };
        let options = [&OPTIONS[..], none, more, &[image]].concat();
        let guest = Self::created(Kind::Container, &options)?;
        let seed = dir.join(format!("{}/nocloud", guest.name));
        seed_files(&seed, document)?;
        let to = format!("{}:/var/lib/cloud/seed", guest.name);
        let parent = seed.parent().unwrap_or(&seed);
        let copied = Run::new(&["docker", "cp", &parent.display().to_string(), &to]).output();
        let _ = fs::remove_dir_all(parent);
        copied?;
        Ok(guest)
    }

    /// Creates a guest without user-data, for the caller to launch; `more` are further options of `docker create`, including its
    /// network.
    ///
    /// # Errors
    /// When Docker refuses.
    pub fn bare(image: &str, more: &[&str]) -> Result<Self> {
        Self::created(Kind::Container, &[&OPTIONS[..], more, &[image]].concat())
    }

    /// The name of its container.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates a virtual machine whose disk is a temporary copy of `vm`'s, without starting it.
    ///
    /// # Errors
    /// When Docker refuses.
    pub fn virtual_machine(vm: &Vm, document: &str, dir: &Path) -> Result<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let seed = dir.join(format!("seed-{}-{count}", std::process::id()));
        seed_files(&seed, document)?;
        let mut words = vec![NO_NETWORK.to_owned()];
        words.extend(vm.create(&seed));
        Self::created(Kind::Virtual { seed }, &words)
    }

    fn created<S: AsRef<str>>(kind: Kind, words: &[S]) -> Result<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("polis-proof-{}-{count}", std::process::id());
        let mut command = vec!["docker", "create", "--label=polis-proof", "--name", &name];
        command.extend(words.iter().map(AsRef::as_ref));
        Run::new(&command).output()?;
        Ok(Self { name, kind })
    }

    /// Copies a file into a guest, running or not; its directory must exist. Everyone may read and execute it.
    ///
    /// # Errors
    /// When Docker refuses.
    pub fn put(&self, dir: &Path, path: &str, text: &str) -> Result<()> {
        let file = dir.join(format!("{}.file", self.name));
        write(&file, text)?;
        executable(&file)?;
        let to = format!("{}:{path}", self.name);
        let copied = Run::new(&["docker", "cp", &file.display().to_string(), &to]).output();
        let _ = fs::remove_file(file);
        copied.map(drop)
    }

    /// Removes its container, like dropping it.
    pub fn remove(&self) {
        let _ = Run::new(&["docker", "rm", "--force", "--volumes", &self.name]).ran();
    }

    /// Cuts its power.
    ///
    /// # Errors
    /// When Docker refuses, for instance because the guest is off.
    pub fn power_off(&self) -> Result<()> {
        Run::new(&["docker", "kill", &self.name]).output().map(drop)
    }

    /// Whether it is on.
    ///
    /// # Errors
    /// When Docker does not know it.
    pub fn is_on(&self) -> Result<bool> {
        let format = "{{.State.Running}}";
        let inspect = ["docker", "inspect", "--format", format, &self.name];
        Ok(Run::new(&inspect).output()? == "true")
    }

    /// Starts it.
    ///
    /// # Errors
    /// When Docker refuses.
    pub fn start(&self) -> Result<()> {
        Run::new(&["docker", "start", &self.name])
            .output()
            .map(drop)
    }

    /// Reboots it. Returns for a virtual machine once the next boot has started.
    ///
    /// # Errors
    /// When Docker refuses, or a virtual machine does not come back.
    pub fn restart(&self) -> Result<()> {
        if let Kind::Virtual { .. } = self.kind {
            return self.reboot();
        }
        Run::new(&["docker", "restart", "--time", "20", &self.name])
            .output()
            .map(drop)
    }

    fn reboot(&self) -> Result<()> {
        const BOOT: &str = "cat /proc/sys/kernel/random/boot_id";
        let before = self.output(BOOT)?;
        // The connection is closed by the shutdown.
        self.ran("systemctl reboot")?;
        let start = Instant::now();
        while start.elapsed() < BOOT_LIMIT {
            let now = self.ran(BOOT)?;
            if now.code == 0 && now.stdout.trim() != before {
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        Err(format!(
            "{} does not come back\n{}",
            self.name,
            self.console()
        ))
    }

    /// The end of a virtual machine's console output.
    fn console(&self) -> String {
        let logs = Run::new(&["docker", "logs", "--tail", "30", &self.name]).ran();
        logs.map_or_else(|error| error, |ran| ran.stdout + &ran.stderr)
    }

    /// Runs a shell script in it; returns its result, with code 255 if logging in is not yet possible.
    ///
    /// # Errors
    /// When Docker cannot be started.
    pub fn ran(&self, script: &str) -> Result<Ran> {
        self.shell(script).ran()
    }

    fn shell(&self, script: &str) -> Run {
        let bash = format!("set -eu; {script}");
        match self.kind {
            Kind::Container => Run::new(&["docker", "exec", &self.name, "bash", "-c", &bash]),
            Kind::Virtual { .. } => {
                let quoted = format!("bash -c '{}'", bash.replace('\'', "'\\''"));
                let inside = ["docker", "exec", &self.name];
                Run::new(&[&inside[..], &SSH, &[&quoted]].concat())
            }
        }
    }

    /// Runs a shell script in it; returns its output.
    ///
    /// # Errors
    /// When it fails.
    pub fn output(&self, script: &str) -> Result<String> {
        self.shell(script).output()
    }

    /// Runs several shell scripts in it, in a single call because each takes a tenth of a second; returns their outputs without trailing
    /// blanks. A failing script does not stop the others.
    ///
    /// # Errors
    /// When the scripts cannot be run.
    pub fn outputs<S: AsRef<str>>(&self, scripts: &[S]) -> Result<Vec<String>> {
        let all: Vec<String> = scripts
            .iter()
            .map(|script| format!("( {} ) 2>&1 || true; printf '\\036'\n", script.as_ref()))
            .collect();
        let all = self.output(&all.concat())?;
        let found: Vec<String> = all
            .split('\u{1e}')
            .map(|part| part.trim_end().to_owned())
            .collect();
        match found.split_last() {
            Some((_, found)) if found.len() == scripts.len() => Ok(found.to_vec()),
            _ => Err(format!(
                "not the outputs of {} scripts:\n{all}",
                scripts.len()
            )),
        }
    }

    /// A JSON file of the guest.
    ///
    /// # Errors
    /// When it is missing or is not JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        let text = self.output(&format!("cat {path}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{path}: {error}\n{text}"))
    }

    /// Whether a path exists in it.
    ///
    /// # Errors
    /// When Docker cannot be started.
    pub fn has(&self, path: &str) -> Result<bool> {
        Ok(self.ran(&format!("test -e {path}"))?.code == 0)
    }

    /// Waits until cloud-init has finished; returns the code of `cloud-init status --wait`: 0 success, 1 an error, 2 a warning.
    ///
    /// # Errors
    /// When the deadline has passed.
    pub fn cloud_init(&self, limit: Duration) -> Result<Ran> {
        let start = Instant::now();
        // systemd needs a moment before it answers.
        while self.ran("test -S /run/systemd/private")?.code != 0 {
            if start.elapsed() > limit {
                return Err(format!(
                    "{}: systemd does not come up\n{}",
                    self.name,
                    self.console()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let ran = self.ran(&format!(
            "timeout {} cloud-init status --wait --long",
            limit.as_secs()
        ))?;
        if ran.code == 124 {
            return Err(format!(
                "{}: cloud-init does not end\n{}",
                self.name,
                self.story()
            ));
        }
        Ok(ran)
    }

    /// A summary of what happened in the guest, for a failed proof.
    pub fn story(&self) -> String {
        let script = "set +e; grep -v '^    \"' /var/lib/polis/provision.json; \
                      tail -n 25 /var/log/polis-provision.log; cat /run/cloud-init/result.json; \
                      systemctl --failed --no-pager --no-legend; tail -n 5 /var/log/stand-in.log";
        self.ran(script)
            .map_or_else(|error| error, |ran| ran.stdout + &ran.stderr)
    }
}

/// The data source for cloud-init: the document, and a new instance ID.
fn seed_files(dir: &Path, document: &str) -> Result<()> {
    write(&dir.join("user-data"), document)?;
    let instance = "instance-id: proof\nlocal-hostname: polis\n";
    write(&dir.join("meta-data"), instance)
}

/// Removes the guests of earlier runs that were killed.
///
/// # Errors
/// When Docker refuses.
pub fn sweep() -> Result<()> {
    let format = "{{.Names}}";
    let filter = "label=polis-proof";
    let names = Run::new(&[
        "docker", "ps", "--all", "--filter", filter, "--format", format,
    ])
    .output()?;
    for name in names.lines() {
        let owner = name.split('-').nth(2).unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            Run::new(&["docker", "rm", "--force", "--volumes", name]).output()?;
        }
    }
    Ok(())
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::env::var_os("POLIS_PROOF_KEEP").is_none() {
            self.remove();
            if let Kind::Virtual { seed } = &self.kind {
                let _ = fs::remove_dir_all(seed);
            }
        }
    }
}
