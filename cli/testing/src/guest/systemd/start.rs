//! Starts units: `systemd-run`, a unit file, and the process that watches over either.

use std::fs::File as StdFile;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use super::super::tool::Tool;
use super::super::{Guest, paths, provision, sudo};
use super::unit::{self, File, Unit};
use super::{SUPERVISOR, full_name, is_root};
use crate::process;

/// What a unit is to run.
struct Plan<'a> {
    name: &'a str,
    directory: &'a Path,
    command: &'a [String],
    root: bool,
    collect: bool,
    remains: bool,
}

/// A command line of `systemd-run`.
#[derive(Debug, Default)]
struct Request {
    unit: Option<String>,
    directory: Option<String>,
    uid: Option<String>,
    quiet: bool,
    collect: bool,
    command: Vec<String>,
}

fn parse(args: &[String]) -> Result<Request, String> {
    let mut request = Request::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" || !arg.starts_with('-') {
            request.command = args.cloned().collect();
            if arg != "--" {
                request.command.insert(0, arg.clone());
            }
            return Ok(request);
        }
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        match name {
            "--collect" | "-G" => request.collect = true,
            "--quiet" | "-q" => request.quiet = true,
            "--no-block" | "--no-ask-password" => {}
            "--unit"
            | "-u"
            | "--working-directory"
            | "--uid"
            | "--property"
            | "-p"
            | "--description"
            | "--gid" => {
                let value = inline.or_else(|| args.next().cloned());
                let value = value.ok_or(format!("option '{name}' requires an argument"))?;
                match name {
                    "--unit" | "-u" => request.unit = Some(value),
                    "--working-directory" => request.directory = Some(value),
                    "--uid" => request.uid = Some(value),
                    "--property" | "-p" if !value.contains('=') => {
                        return Err(format!("Not an assignment: {value}"));
                    }
                    _ => {}
                }
            }
            _ => return Err(format!("unrecognized option '{arg}'")),
        }
    }
    Err("Command line to execute required.".to_owned())
}

/// An argument after systemd's own expansion, with an environment in which nothing is set: `${...}` goes wherever it
/// stands, and `$$` is a dollar sign. A script with parameters that is passed as an argument does not survive that.
fn expanded(arg: &str) -> String {
    let mut out = String::new();
    let mut rest = arg;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match (rest.strip_prefix('$'), rest.find('}')) {
            (Some(after), _) => {
                out.push('$');
                rest = after;
            }
            (None, Some(end)) if rest.starts_with('{') => rest = &rest[end + 1..],
            _ => out.push('$'),
        }
    }
    out + rest
}

/// `systemd-run`.
pub(in super::super) fn systemd_run(tool: &mut Tool, args: &[String]) -> io::Result<u8> {
    let request = match parse(args) {
        Ok(request) => request,
        Err(text) => return Ok(tool.refuse(1, &format!("systemd-run: {text}\n"))),
    };
    if !is_root() {
        let text = "Failed to start transient service unit: Interactive authentication required.\n";
        tool.call.err(text);
        return Ok(1);
    }
    let guest = tool.guest.clone();
    let name = full_name(
        &request
            .unit
            .unwrap_or_else(|| format!("run-u{}", tool.call.number)),
    );
    let program = request.command.first().map_or("", String::as_str);
    let Some(found) = find(&guest, program) else {
        let text = format!("Failed to find executable {program}: No such file or directory\n");
        tool.call.err(&paths::to_guest(&text, guest.root()));
        return Ok(1);
    };
    let mut command: Vec<String> = request.command.iter().map(|arg| expanded(arg)).collect();
    command[0] = found;
    let directory = request.directory.unwrap_or_else(|| "/".to_owned());
    let plan = Plan {
        name: &name,
        directory: &inside(&guest, &directory),
        command: &command,
        root: request.uid.is_none_or(|uid| uid == "root" || uid == "0"),
        collect: request.collect,
        remains: false,
    };
    if !spawn(&guest, &plan)? {
        tool.call.err(&format!(
            "Failed to start transient service unit: Unit {name} was already loaded or has a fragment file.\n"
        ));
        return Ok(1);
    }
    tool.call.end.changed_guest = true;
    if !request.quiet {
        tool.call.err(&format!("Running as unit: {name}\n"));
    }
    Ok(0)
}

/// Starts a unit of the guest's files; whether there is one.
pub(super) fn start_file(guest: &Guest, name: &str) -> io::Result<bool> {
    let Some(file) = File::read(guest, name)? else {
        return Ok(false);
    };
    let line = file.values("ExecStart").next().unwrap_or_default();
    let mut command: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let Some(program) = command.first_mut() else {
        return Ok(false);
    };
    let tool = program.rsplit('/').next().unwrap_or_default().to_owned();
    *program = find(guest, &tool).unwrap_or_else(|| program.clone());
    let directory = file.values("WorkingDirectory").next().unwrap_or("/");
    let plan = Plan {
        name,
        directory: &inside(guest, directory),
        command: &command,
        root: true,
        collect: false,
        remains: file.values("RemainAfterExit").any(|value| value == "yes"),
    };
    unit::forget(guest, name)?;
    spawn(guest, &plan)
}

/// A folder of the guest; a process of the guest may have been told its name on this machine.
fn inside(guest: &Guest, path: &str) -> std::path::PathBuf {
    if Path::new(path).starts_with(guest.root()) {
        path.into()
    } else {
        guest.path(path)
    }
}

/// The program as `systemd-run` looks it up: along the PATH, or from here when it has a slash.
fn find(guest: &Guest, program: &str) -> Option<String> {
    if program.contains('/') {
        let path = std::path::absolute(program).ok()?;
        return path.is_file().then(|| path.display().to_string());
    }
    let bin = guest.root().join("bin");
    let dirs = [bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")];
    let mut found = dirs.iter().map(|dir| dir.join(program));
    let found = found.find(|path| path.exists())?;
    Some(found.display().to_string())
}

/// Starts the process that watches over a unit; false when the unit is there already.
fn spawn(guest: &Guest, plan: &Plan<'_>) -> io::Result<bool> {
    // Held until the unit is written, so that it cannot end before.
    let _lock = guest.store.lock()?;
    if Unit::read(guest, plan.name)?.is_some_and(|unit| unit.is_loaded()) {
        return Ok(false);
    }
    let output = StdFile::create(unit::log(guest, plan.name))?;
    let mut command = process::group(std::env::current_exe()?);
    command.arg0(SUPERVISOR).arg(plan.name).args(plan.command);
    guest.dress(&mut command);
    if plan.root {
        command.env(sudo::ROOT, "1");
    }
    command
        .current_dir(plan.directory)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let unit = Unit {
        pid: command.spawn()?.id(),
        code: None,
        collect: plan.collect,
        remains: plan.remains,
    };
    unit.write(guest, plan.name)?;
    Ok(true)
}

/// Runs a unit's command and records how it ended.
pub(in super::super) fn supervise(guest: &Guest, args: &[String]) -> io::Result<ExitCode> {
    let Some((name, [program, rest @ ..])) = args.split_first() else {
        return Err(io::Error::other("no unit"));
    };
    let played = match is_root() {
        true => provision::run_as_program(guest, program)?,
        false => None,
    };
    let code = match played {
        Some(code) => i32::from(code),
        None => match process::command(program).args(rest).status() {
            Ok(status) => status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            // What systemd gives a command that cannot be executed.
            Err(_) => 203,
        },
    };
    unit::end(guest, name, Some(code))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod expansion {
    use super::expanded;

    #[test]
    fn systemd_expands_arguments_before_the_shell_sees_them() {
        assert_eq!(expanded("echo $$ ${@:2} $1 \"$?\""), "echo $  $1 \"$?\"");
        assert_eq!(expanded("plain"), "plain");
    }
}
