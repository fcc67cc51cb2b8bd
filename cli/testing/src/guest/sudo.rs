//! `sudo`, and for an ordinary user the two tools that make it look as if files could be given away.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitCode;

use super::{Guest, provision, rights};
use crate::process;
use crate::world::replace;

/// Says that a process of the guest is root's.
pub(super) const ROOT: &str = "FAKE_MULTIPASS_ROOT";
/// Who owns what, for an ordinary user.
const OWNERS: &str = "run/owners.json";

/// Runs the command behind the flags.
pub(super) fn sudo(guest: &Guest, args: &[String]) -> io::Result<ExitCode> {
    let mut args = args.iter();
    let mut settings = Vec::new();
    let mut root = true;
    let program = loop {
        let Some(arg) = args.next() else {
            eprintln!("usage: sudo [-n] [-u user] [VAR=value] command [arg ...]");
            return Ok(ExitCode::from(1));
        };
        match arg.as_str() {
            "-n" | "--non-interactive" | "-E" | "--preserve-env" | "-H" | "--set-home" | "--" => {}
            "-u" | "--user" => root = args.next().is_some_and(|user| user == "root"),
            flag if flag.starts_with("--preserve-env=") => {}
            flag if flag.starts_with('-') => {
                eprintln!("sudo: invalid option -- '{}'", flag.trim_start_matches('-'));
                return Ok(ExitCode::from(1));
            }
            word => match word.split_once('=') {
                Some(setting) => settings.push(setting),
                None => break word,
            },
        }
    };
    if root && let Some(code) = provision::run_as_program(guest, program)? {
        return Ok(ExitCode::from(code));
    }
    let mut command = process::command(program);
    command.args(args).envs(settings);
    if !root {
        command.env_remove(ROOT);
        let error = process::become_program(command);
        return Ok(not_found(program, &error));
    }
    command.env(ROOT, "1");
    let before = guest.snapshot()?;
    let status = match command.status() {
        Ok(status) => status,
        Err(error) => return Ok(not_found(program, &error)),
    };
    rights::allow(guest, &before.changed(&guest.snapshot()?))?;
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn not_found(program: &str, error: &io::Error) -> ExitCode {
    eprintln!("sudo: {program}: command not found ({error})");
    ExitCode::from(1)
}

/// Remembers the owner of files that stay ours.
pub(super) fn chown(guest: &Guest, args: &[String]) -> io::Result<ExitCode> {
    let mut words = args.iter().filter(|arg| !arg.starts_with('-'));
    let Some(owner) = words.next() else {
        eprintln!("chown: missing operand");
        return Ok(ExitCode::from(1));
    };
    let uid = match owner.split(':').next().unwrap_or_default() {
        "ubuntu" => "1000",
        "root" => "0",
        uid => uid,
    };
    let _lock = guest.store.lock()?;
    let mut owners = owners(guest)?;
    for file in words {
        let Some(id) = id(Path::new(file)) else {
            eprintln!("chown: cannot access '{file}': No such file or directory");
            return Ok(ExitCode::from(1));
        };
        owners.insert(id, uid.to_owned());
    }
    replace(&guest.root().join(OWNERS), &serde_json::to_vec(&owners)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The real stat, with the remembered owner where its format asks for one.
pub(super) fn stat(guest: &Guest, args: &[String]) -> io::Result<ExitCode> {
    let owner = {
        let _lock = guest.store.lock()?;
        let owners = owners(guest)?;
        args.last()
            .and_then(|file| id(Path::new(file)))
            .and_then(|id| owners.get(&id).cloned())
    };
    let args = args.iter().map(|arg| match &owner {
        Some(uid) if arg.contains("%u") => arg.replace("%u", uid),
        _ => arg.clone(),
    });
    let mut command = process::command("/usr/bin/stat");
    command.args(args);
    Err(process::become_program(command))
}

fn owners(guest: &Guest) -> io::Result<BTreeMap<String, String>> {
    match fs::read(guest.root().join(OWNERS)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// What stays the same when a file is renamed.
fn id(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::symlink_metadata(path).ok()?;
    Some(format!("{}:{}", meta.dev(), meta.ino()))
}
