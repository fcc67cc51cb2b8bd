//! `sudo`, and the tool that makes it look as if files could be given away.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use super::{Guest, provision, rights};
use crate::process;

/// Says that a process of the guest is root's.
pub(super) const ROOT: &str = "FAKE_MULTIPASS_ROOT";
/// The user that the containers' private files are given to.
const CONTAINERS: &str = "65532";

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

/// The real stat, except that every file belongs to the containers' user: `chown` does nothing here, since the tests may
/// not give files away.
pub(super) fn stat(args: &[String]) -> io::Result<ExitCode> {
    let mut command = process::command("/usr/bin/stat");
    command.args(args.iter().map(|arg| arg.replace("%u", CONTAINERS)));
    Err(process::become_program(command))
}
