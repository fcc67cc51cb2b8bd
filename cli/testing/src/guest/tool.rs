//! The tools of the guest that are the double itself, each under its own name.

use std::fs;
use std::io;
use std::process::ExitCode;

use super::{Guest, cloud_init, docker, paths, sudo, systemd};
use crate::commands::call::Call;
use crate::process;

/// A tool under way.
#[derive(Debug)]
pub(super) struct Tool {
    /// Its record and its streams.
    pub(super) call: Call,
    /// The guest that it belongs to.
    pub(super) guest: Guest,
}

/// Runs the tool `name` with `args`.
///
/// # Errors
/// When the world cannot be read or written.
pub fn run(name: &str, args: &[String]) -> io::Result<ExitCode> {
    let guest = Guest::from_environment()?;
    match name {
        "sudo" => return sudo::sudo(&guest, args),
        "chown" => return Ok(ExitCode::SUCCESS),
        "stat" => return sudo::stat(args),
        systemd::SUPERVISOR => return systemd::supervise(&guest, args),
        "sleep" => return Ok(sleep(args)),
        "df" => return df(&guest, args),
        "tar" => return tar(&guest, args),
        _ => {}
    }
    let shown: Vec<String> = args
        .iter()
        .map(|arg| paths::to_guest(arg, guest.root()))
        .collect();
    let mut tool = Tool {
        call: Call::start(&guest.store, name, &shown)?,
        guest,
    };
    let code = match tool.call.before() {
        Some(code) => code,
        None => match name {
            "cloud-init" => cloud_init::run(&mut tool, args)?,
            "docker" => docker::run(&mut tool, args)?,
            "systemctl" => systemd::systemctl(&mut tool, args)?,
            "systemd-run" => systemd::systemd_run(&mut tool, args)?,
            _ => tool.not_played(name),
        },
    };
    Ok(ExitCode::from(tool.call.finish(code)?))
}

/// A pause of the guest's scripts between two attempts, twenty times as short: a test has nothing to wait for.
fn sleep(args: &[String]) -> ExitCode {
    let Some(Ok(seconds)) = args.first().map(|arg| arg.parse::<f64>()) else {
        eprintln!("sleep: invalid time interval");
        return ExitCode::FAILURE;
    };
    std::thread::sleep(std::time::Duration::from_secs_f64(seconds / 20.0));
    ExitCode::SUCCESS
}

/// How full the guest's disk is, in the one form that a script uses.
fn df(guest: &Guest, args: &[String]) -> io::Result<ExitCode> {
    let state = guest.store.look()?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let ["--output=pcent,ipcent,avail", "--block-size=1", "/"] = words.as_slice() else {
        eprintln!("df: not played with these arguments");
        return Ok(ExitCode::FAILURE);
    };
    let (space, inodes) = state.disk_used;
    let disk = state.find(&guest.name).map_or(0, |instance| instance.disk);
    let free = disk / 100 * u64::from(100 - space.min(100));
    println!("Use% IUse%       Avail\n {space}%   {inodes}% {free}");
    Ok(ExitCode::SUCCESS)
}

impl Tool {
    /// What the double does not know: a failure that a test can see.
    fn not_played(&mut self, name: &str) -> u8 {
        self.call.end.refused = true;
        self.call
            .err(&format!("{name}: not played by the double\n"));
        127
    }

    /// A refusal in the tool's own words.
    pub(super) fn refuse(&mut self, code: u8, text: &str) -> u8 {
        self.call.end.refused = true;
        self.call.err(text);
        code
    }
}

/// The real tar, unless the disk is full.
fn tar(guest: &Guest, args: &[String]) -> io::Result<ExitCode> {
    let full = guest.store.look()?.disk_full;
    let takes_out = |arg: &String| {
        arg == "--extract"
            || arg.starts_with('x')
            || (arg.starts_with('-') && !arg.starts_with("--") && arg.contains('x'))
    };
    if full && args.iter().any(takes_out) {
        eprintln!("tar: docker-compose.yml: Cannot write: No space left on device");
        eprintln!("tar: Exiting with failure status due to previous errors");
        return Ok(ExitCode::from(2));
    }
    let real = ["/usr/bin/tar", "/bin/tar"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false))
        .unwrap_or("tar");
    let mut command = process::command(real);
    command.args(args);
    Err(process::become_program(command))
}
