//! `polis ssh-config`, `polis connect` and `polis _ssh-proxy`: OpenSSH into the workspace through `multipass exec`, without an
//! open port.
//!
//! OpenSSH's own `ssh-keygen` creates the key pair; it is installed wherever `ssh` is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{Client, ConnectArgs, SshConfigArgs, SshProxyArgs};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::run::Target;
use crate::guest::ssh::{self as calls, PublicKey};
use crate::guest::unreadable;
use crate::handover::TerminalUse;
use crate::instance::{self, vm};
use crate::multipass::failed;
use crate::output::Done;
use crate::process::{self, Failure};
use crate::reports::files::SshConfig;
use crate::store::Store;
use crate::{platform, signals, ssh};

/// Files of the state directory: the private key, the workspace's pinned host key, and the `Host` block.
const IDENTITY: &str = "ssh_key";
const KNOWN_HOSTS: &str = "ssh_known_hosts";
const CONFIG: &str = "ssh_config";

/// How long `ssh-keygen` may take.
const KEYGEN: Duration = Duration::from_secs(60);
/// The maximum size of the user's configuration.
const MOST_CONFIG: u64 = 1 << 20;

/// Runs `polis ssh-config`.
///
/// # Errors
/// When the workspace is not running, or a file cannot be written.
pub(crate) fn config(context: &Context, args: &SshConfigArgs) -> Result<Done> {
    let config = context.store.path(CONFIG)?;
    let include = Include::of(context)?;
    let line = &include.line;
    if args.remove {
        let _lock = context.store.lock()?;
        let users = UserConfig::read(line)?;
        // All workspaces share the line.
        let others = context.store.others_have(CONFIG);
        let changed = !others && users.change(|text| include.taken_from(text))?;
        remove(&context.store)?;
        let text = "OpenSSH is no longer set up for the workspace.\n";
        return Ok(done(text.to_owned(), &config, false, changed, None));
    }
    let block = prepare(context)?;
    let users = UserConfig::read(line);
    if !args.install {
        let installed = users.is_ok_and(|users| include.is_in(&users.text));
        return Ok(done(block.clone(), &config, installed, false, Some(&block)));
    }
    let users = users?;
    let new = !include.is_in(&users.text);
    if new && !args.yes && super::can_ask(context) {
        context.output.ask(&format!(
            "this line will be added at the top of `{}`: {line}",
            users.path().display()
        ));
        if !super::asked("Add it?")? {
            let text = "Nothing was installed.\n".to_owned();
            return Ok(done(text, &config, false, false, Some(&block)));
        }
    }
    let changed = users.change(|text| include.added_to(text))?;
    let text = format!("OpenSSH is set up for the workspace. Next: ssh {}\n", vm());
    Ok(done(text, &config, true, changed, Some(&block)))
}

fn done(text: String, config: &Path, installed: bool, changed: bool, block: Option<&str>) -> Done {
    let report = SshConfig {
        config: config.display().to_string(),
        installed,
        changed,
        block,
    };
    Done::new(text, report)
}

/// Creates the keys, pins the workspace's host key, and writes the `Host` block; returns the block.
fn prepare(context: &Context) -> Result<String> {
    must_pipe(context)?;
    let multipass = context.multipass()?;
    super::must_run(&multipass)?;
    let store = &context.store;
    let _lock = store.lock()?;
    let polis = std::env::current_exe().map_err(|error| {
        Error::new(Kind::Unexpected, "could not find the path of this program").caused_by(&error)
    })?;
    let call = calls::host_key();
    let output = multipass.output(&call, None)?;
    match output.code {
        Some(0) => {}
        Some(calls::NO_STACK) => return Err(super::workspace::no_stack(&multipass)),
        _ => return Err(failed(&call, &output, Kind::Unexpected)),
    }
    let host = PublicKey::answered(&output.stdout).ok_or_else(|| {
        unreadable(
            "the workspace has no SSH host key",
            "its answer is not a key",
        )
    })?;
    let key = key_pair(store)?;
    let known_hosts = store.keep(KNOWN_HOSTS, ssh::known_host(vm(), &host).as_bytes())?;
    let names = (instance::name(), vm());
    let block = ssh::block(&polis, names, &key, &store.path(IDENTITY)?, &known_hosts)?;
    store.keep(CONFIG, block.as_bytes())?;
    Ok(block)
}

/// The public half of the user's key for the workspace; creates the key if there is none.
fn key_pair(store: &Store) -> Result<PublicKey> {
    let (identity, new) = (store.path(IDENTITY)?, store.path("ssh_key_new")?);
    let public = store.path("ssh_key_new.pub")?;
    if !identity.exists() {
        // Left by an earlier run that was killed.
        remove_file(&new)?;
        let file = new.display().to_string();
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", "polis", "-f", &file];
        keygen(&args)?;
        fs::rename(&new, &identity).map_err(|error| unwritable(&identity, &error))?;
        remove_file(&public)?;
    }
    let public = keygen(&["-y", "-f", &identity.display().to_string()])?;
    PublicKey::parse(&public).ok_or_else(|| {
        Error::new(
            Kind::Unexpected,
            format!("`{}` is not an Ed25519 key", identity.display()),
        )
        .next("polis ssh-config --remove, then: polis ssh-config --install")
    })
}

/// Runs `ssh-keygen`; returns its output.
fn keygen(args: &[&str]) -> Result<String> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let error = |reason: String| {
        Error::new(Kind::Unexpected, "OpenSSH's ssh-keygen failed")
            .because(reason)
            .next("install OpenSSH's client, and run this again")
    };
    match process::run(Path::new("ssh-keygen"), &args, KEYGEN) {
        Ok(output) if output.code == Some(0) => Ok(output.stdout),
        Ok(output) => Err(error(output.stderr)),
        Err(Failure::Start(reason)) => Err(error(format!("ssh-keygen: {reason}"))),
        Err(Failure::Interrupted) => Err(crate::multipass::interrupted()),
        Err(_) => Err(error(format!("it took longer than {} s", KEYGEN.as_secs()))),
    }
}

/// Removes the files of `ssh-config`.
fn remove(store: &Store) -> Result<()> {
    for name in [CONFIG, KNOWN_HOSTS, IDENTITY] {
        remove_file(&store.path(name)?)?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(path, &error)),
        _ => Ok(()),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Box<Error> {
    let what = format!("could not write to `{}`", path.display());
    Error::new(Kind::Unexpected, what).caused_by(&error)
}

/// The `Include` line in the user's own configuration.
struct Include {
    line: String,
    /// The line that earlier releases wrote, which includes only the default workspace.
    old: String,
}

impl Include {
    fn of(context: &Context) -> Result<Self> {
        let state = context.store.state();
        Ok(Self {
            line: ssh::include(state, CONFIG)?,
            old: ssh::old_include(state, CONFIG)?,
        })
    }

    /// Whether `text` begins with a line that includes this workspace's block.
    fn is_in(&self, text: &str) -> bool {
        let first = text.lines().next().map(str::trim);
        let is_default = instance::name() == instance::DEFAULT;
        first == Some(&self.line) || (is_default && first == Some(&self.old))
    }

    fn added_to(&self, text: &str) -> String {
        ssh::with_line(&ssh::without_line(text, &self.old), &self.line)
    }

    fn taken_from(&self, text: &str) -> String {
        ssh::without_line(&ssh::without_line(text, &self.old), &self.line)
    }
}

/// What is wrong with the `Include` line in the user's configuration; none if it is correct or cannot be changed.
pub(super) fn wrong_include(context: &Context) -> Option<&'static str> {
    let (users, wanted) = included(context)?;
    match (users.text == wanted, context.store.any_has(CONFIG)) {
        (true, _) => None,
        (_, true) => Some(
            "the line for polis in ~/.ssh/config is not the first one, or includes only one workspace: correct it",
        ),
        (_, false) => {
            Some("the line for polis in ~/.ssh/config no longer includes anything: remove it")
        }
    }
}

/// Corrects or removes the `Include` line.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn fix_include(context: &Context) -> Result<()> {
    match included(context) {
        Some((users, wanted)) => users.change(|_| wanted).map(drop),
        None => Ok(()),
    }
}

/// The user's configuration and its corrected text.
fn included(context: &Context) -> Option<(UserConfig, String)> {
    let include = Include::of(context).ok()?;
    let users = UserConfig::read(&include.line).ok()?;
    let without = include.taken_from(&users.text);
    let wanted = match (without == users.text, context.store.any_has(CONFIG)) {
        (true, _) | (_, false) => without,
        _ => include.added_to(&without),
    };
    Some((users, wanted))
}

/// The user's own configuration of OpenSSH.
struct UserConfig {
    dir: PathBuf,
    text: String,
}

impl UserConfig {
    /// Reads it. Anything but a regular file is managed by another program, and left alone.
    fn read(line: &str) -> Result<Self> {
        let home = platform::home().ok_or_else(|| {
            Error::new(Kind::Usage, "this user has no home directory")
                .next("set HOME, and run this again")
        })?;
        let dir = home.join(".ssh");
        let path = dir.join("config");
        let refused = |path: &Path, reason: String| {
            let what = format!("`{}` was not changed", path.display());
            Error::new(Kind::Usage, what)
                .because(reason)
                .next(format!("make this its first line: {line}"))
        };
        for (path, directory) in [(&dir, true), (&path, false)] {
            match fs::symlink_metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Self {
                        dir: dir.clone(),
                        text: String::new(),
                    });
                }
                Err(error) => return Err(refused(path, error.to_string())),
                Ok(data) if data.is_symlink() => {
                    return Err(refused(path, "it is a link".to_owned()));
                }
                Ok(data) if data.is_dir() != directory || data.len() > MOST_CONFIG => {
                    return Err(refused(path, "it is not a regular file".to_owned()));
                }
                Ok(_) => {}
            }
        }
        let read = fs::read_to_string(&path);
        let text = read.map_err(|error| refused(&path, error.to_string()))?;
        Ok(Self { dir, text })
    }

    fn path(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// Replaces the file; returns whether it has changed.
    fn change(&self, change: impl FnOnce(&str) -> String) -> Result<bool> {
        let text = change(&self.text);
        if text == self.text {
            return Ok(false);
        }
        // Private, as OpenSSH requires.
        Store::new(self.dir.clone()).keep("config", text.as_bytes())?;
        Ok(true)
    }
}

/// Refuses if Multipass cannot pipe.
fn must_pipe(context: &Context) -> Result<()> {
    if context.settings.pipes() {
        return Ok(());
    }
    let what = "SSH into the workspace is not possible on this machine";
    Err(Error::new(Kind::Usage, what)
        .because("Multipass for Windows buffers piped data")
        .next("polis shell   (a shell in the workspace)")
        .next("polis cp SRC DST   (files and directories)"))
}

/// Refuses if `polis ssh-config` has not been run, or the workspace is not running.
pub(super) fn must_be_set_up(context: &Context) -> Result<()> {
    must_pipe(context)?;
    if !context.store.path(CONFIG)?.exists() {
        return Err(not_set_up());
    }
    super::must_run(&context.multipass()?)
}

/// The path of the `Host` block, checked to be safe between quotes in a shell.
pub(super) fn config_file(context: &Context) -> Result<String> {
    Include::of(context)?;
    Ok(context.store.path(CONFIG)?.display().to_string())
}

fn not_set_up() -> Box<Error> {
    Error::new(Kind::Usage, "OpenSSH is not set up for the workspace")
        .next("polis ssh-config --install")
}

/// Runs `polis connect`; returns the client's exit code.
///
/// # Errors
/// When OpenSSH is not set up for the workspace, or the client is not installed.
pub(crate) fn connect(context: &Context, args: &ConnectArgs) -> Result<u8> {
    must_pipe(context)?;
    let config = context.store.path(CONFIG)?;
    let include = Include::of(context)?;
    // A login works without the `Include` line; an editor starts `ssh` itself, and needs it.
    if args.with != Client::Ssh && !include.is_in(&UserConfig::read(&include.line)?.text) {
        return Err(not_set_up());
    }
    must_be_set_up(context)?;
    let remote = format!("ssh-remote+{}", vm());
    let editor = ["--remote", &remote, "/home/polis"];
    let file = config.display().to_string();
    let (program, words) = match args.with {
        Client::Code => ("code", &editor[..]),
        Client::Cursor => ("cursor", &editor[..]),
        Client::Ssh => ("ssh", &["-F", &file, vm()][..]),
    };
    if args.with != Client::Ssh {
        context.output.note(
            "an editor trusts the machine that it connects to: a hostile workspace can act on this machine through it",
        );
    }
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    wait_for(program, &words).map_err(|error| {
        Error::new(Kind::Usage, format!("could not run `{program}`"))
            .caused_by(&error)
            .next(format!(
                "put it on the PATH, or connect it to the host `{}`",
                vm()
            ))
            .next("polis connect ssh")
    })
}

/// Runs a program on our terminal and forwards signals to it; returns its exit code.
fn wait_for(program: &str, words: &[String]) -> io::Result<u8> {
    let mut child = process::interactive(Path::new(program), words, true, false)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1));
        }
        if let Some(signal) = signals::take() {
            platform::pass_on(signal, &mut child)?;
        }
        std::thread::sleep(process::TICK);
    }
}

/// Runs `polis _ssh-proxy`, whose streams are OpenSSH's connection; returns the exit code.
///
/// # Errors
/// When the workspace does not run.
pub(crate) fn proxy(context: &Context, args: &SshProxyArgs) -> Result<u8> {
    must_pipe(context)?;
    let key = PublicKey::parse(&args.key.join(" ")).ok_or_else(|| {
        Error::new(Kind::Usage, "the key that may log in is not an Ed25519 key")
            .next("polis ssh-config")
    })?;
    let place = Target::Workspace {
        terminal: false,
        root: true,
    };
    super::exec::enter(context, &calls::server(&key), place, TerminalUse::Streams)
}
