//! The guest's programs that the fake itself implements, each under its own name. They answer from the state of the sandbox.
//! Anything that our scripts do not use is refused and recorded.

pub(crate) mod docker;
mod systemd;
mod tool;

use std::io;
use std::process::ExitCode;

use tool::Tool;

use crate::call::Call;
use crate::environment::INSTANCE;
use crate::guest::paths;
use crate::process;
use crate::store::{Store, provision};

/// The user who owns the containers' private files.
const CONTAINERS: &str = "65532";

/// Runs the tool `name` with `args`.
///
/// # Errors
/// When the sandbox cannot be read or written.
pub fn run(name: &str, args: &[String]) -> io::Result<ExitCode> {
    match name {
        "sudo" => return Ok(sudo(args)),
        // Tests may not change the owner of files, so every file looks as if its owner had been changed.
        "chown" => return Ok(ExitCode::SUCCESS),
        "stat" => {
            let args = args.iter().map(|arg| arg.replace("%u", CONTAINERS));
            return Err(become_program("/usr/bin/stat", args.collect()));
        }
        "sleep" => return Ok(sleep(args)),
        // The certificates that this machine trusts are not those of the guest.
        "update-ca-certificates" => return Ok(ExitCode::SUCCESS),
        _ => {}
    }
    let instance = std::env::var(INSTANCE)
        .map_err(|_| io::Error::other(format!("{INSTANCE} names no instance")))?;
    let store = Store::from_environment()?;
    let guest = store.guest(&instance);
    let shown = args.iter().map(|arg| paths::to_guest(arg, guest.root()));
    let shown: Vec<String> = shown.collect();
    let mut tool = Tool {
        call: Call::start(&store, name, &shown)?,
        guest,
    };
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match (tool.call.before(), name) {
        (Some(code), _) => code,
        (None, "cloud-init") => cloud_init(&mut tool, &words)?,
        (None, "df") => df(&mut tool, &words)?,
        (None, "dpkg-query") => dpkg_query(&mut tool, &words)?,
        (None, "ip") => ip(&mut tool, &words)?,
        (None, "docker") => docker::run(&mut tool, &words)?,
        (None, "systemctl") => systemd::systemctl(&mut tool, &words)?,
        (None, "systemd-run") => systemd::systemd_run(&mut tool, &words)?,
        _ => tool.refuse(),
    };
    Ok(ExitCode::from(tool.call.finish(code)?))
}

fn become_program(program: &str, args: Vec<String>) -> io::Error {
    let mut command = process::command(program);
    command.args(args);
    process::become_program(command)
}

/// Runs the command with our own permissions. What needs root is tested on a real machine.
fn sudo(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (["-n", "-u", _, command @ ..] | ["-n", "--", command @ ..] | ["-n", command @ ..]) =
        words.as_slice()
    else {
        return ExitCode::FAILURE;
    };
    let Some((program, args)) = command.split_first() else {
        return ExitCode::FAILURE;
    };
    let args = args.iter().map(|arg| (*arg).to_owned());
    let error = become_program(program, args.collect());
    eprintln!("sudo: {program}: command not found ({error})");
    ExitCode::FAILURE
}

/// A pause between two attempts of the guest's scripts, shortened to a twentieth: a test has nothing to wait for.
fn sleep(args: &[String]) -> ExitCode {
    let Some(Ok(seconds)) = args.first().map(|arg| arg.parse::<f64>()) else {
        return ExitCode::FAILURE;
    };
    std::thread::sleep(std::time::Duration::from_secs_f64(seconds / 20.0));
    ExitCode::SUCCESS
}

/// `cloud-init status`, derived from the run of our provisioning. A run that polis started later is not cloud-init's.
fn cloud_init(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    if words != ["status"] {
        return Ok(tool.refuse());
    }
    let state = tool.call.store.look()?;
    let instance = state.find(tool.guest.name());
    let first = instance.and_then(provision::under_way);
    let (word, code) = match instance {
        Some(_) if first.is_some_and(|run| run.first) => ("running", 0),
        Some(instance) if instance.cloud_init_failed => ("error", 1),
        Some(instance) if instance.degraded => ("done", 2),
        _ => ("done", 0),
    };
    tool.call.out(&format!("status: {word}\n"));
    Ok(code)
}

/// The versions of the packages that the provisioning installs.
fn dpkg_query(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    let template = "--showformat=package ${Package} ${Version}\\n";
    if words != ["--show", template, "docker-ce", "sysbox-ce"] {
        return Ok(tool.refuse());
    }
    let state = tool.call.store.look()?;
    if !state.find(tool.guest.name()).is_some_and(|it| it.docker) {
        return Ok(tool.fail("dpkg-query: no packages found matching docker-ce"));
    }
    tool.call
        .out("package docker-ce 5:28.5.1-1~ubuntu.24.04~noble\n");
    tool.call.out("package sysbox-ce 0.7.1.linux\n");
    Ok(0)
}

/// The guest's source address for the internet, as `multipass info` shows it.
fn ip(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    let ["-4", "route", "get", there] = words else {
        return Ok(tool.refuse());
    };
    let address = tool.call.store.look()?.address;
    let text = format!("{there} via 10.87.112.1 dev enp5s0 src {address} uid 1000 \n    cache \n");
    tool.call.out(&text);
    Ok(0)
}

/// How full the guest's disk is.
fn df(tool: &mut Tool, words: &[&str]) -> io::Result<u8> {
    if words != ["--output=pcent,ipcent,avail", "--block-size=1", "/"] {
        return Ok(tool.refuse());
    }
    let state = tool.call.store.look()?;
    let (space, inodes) = state.disk_used;
    let disk = state.find(tool.guest.name()).map_or(0, |found| found.disk);
    let free = disk / 100 * u64::from(100 - space.min(100));
    let text = format!("Use% IUse%       Avail\n {space}%   {inodes}% {free}\n");
    tool.call.out(&text);
    Ok(0)
}
