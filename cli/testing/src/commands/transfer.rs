//! `multipass transfer`: files between host and guest over SFTP, as the guest's user.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::call::Call;
use crate::fault::Effect;
use crate::grammar::{Grammar, Parsed};
use crate::guest::Guest;
use crate::world::now;
use crate::world::state::Power;

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "transfer",
    valued: &[],
    flags: &[&["recursive", "r"], &["parents", "p"]],
    arity: (2, usize::MAX),
    guest_command: false,
};

/// The mode of what comes from standard input: 0666 less the guest user's umask, 0002.
const STREAM_MODE: u32 = 0o664;

/// One end of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    Stream,
    Host(&'a str),
    Guest(&'a str, &'a str),
}

impl<'a> End<'a> {
    /// Anything with a `:` is in an instance; on Windows alone a drive is an exception.
    fn of(text: &'a str, windows: bool) -> Self {
        let drive = |name: &str, path: &str| name.len() == 1 && path.starts_with(['\\', '/']);
        match text.split_once(':') {
            _ if text == "-" => Self::Stream,
            Some((name, path)) if windows && drive(name, path) => Self::Host(text),
            Some((name, path)) => Self::Guest(name, path),
            None => Self::Host(text),
        }
    }
}

pub(super) fn run(call: &mut Call, parsed: &Parsed) -> io::Result<u8> {
    let windows = call.store.look()?.windows;
    let ends = parsed.positional.iter().map(|text| End::of(text, windows));
    let ends: Vec<End<'_>> = ends.collect();
    let Some((target, sources)) = ends.split_last() else {
        return Ok(call.refuse("Wrong number of arguments\n"));
    };
    if let Some(text) = usage(sources, *target) {
        return Ok(call.refuse(text));
    }
    let mut failed = false;
    for source in sources {
        let (name, _) = match (source, target) {
            (_, End::Guest(name, path)) | (End::Guest(name, path), _) => (*name, *path),
            _ => continue,
        };
        let guest = match reach(call, name)? {
            Ok(guest) => guest,
            Err(code) => return Ok(code),
        };
        let flags = Flags {
            parents: parsed.has("parents"),
            recursive: parsed.has("recursive"),
            many: sources.len() > 1,
        };
        let done = match (source, target) {
            (source, End::Guest(_, path)) => put(call, &guest, *source, path, flags)?,
            (End::Guest(_, path), target) => get(call, &guest, path, *target)?,
            _ => Ok(()),
        };
        if let Err(message) = done {
            call.err(&format!("[{}] [error] [sftp] {message}\n", now()));
            failed = true;
        }
    }
    Ok(if failed { 2 } else { 0 })
}

#[derive(Debug, Clone, Copy)]
struct Flags {
    parents: bool,
    recursive: bool,
    many: bool,
}

/// What the client says about ends that do not go together.
fn usage(sources: &[End<'_>], target: End<'_>) -> Option<&'static str> {
    let in_guest = |end: &End<'_>| matches!(end, End::Guest(..));
    let from_guest = sources.iter().filter(|end| in_guest(end)).count();
    if in_guest(&target) && from_guest > 0 {
        return Some("Cannot specify an instance name for both source and destination\n");
    }
    if !in_guest(&target) && from_guest == 0 {
        return Some("An instance name is needed for either source or destination\n");
    }
    if !in_guest(&target) && from_guest < sources.len() {
        return Some("All sources must be from the same instance\n");
    }
    if sources.contains(&End::Stream) && sources.len() > 1 {
        return Some("Only one source can be standard input\n");
    }
    None
}

/// The guest, if files can be brought there. It is not started for that.
fn reach(call: &mut Call, name: &str) -> io::Result<Result<Guest, u8>> {
    let state = match call.daemon("transfer")? {
        Ok(state) => state,
        Err(code) => return Ok(Err(code)),
    };
    let message = match state
        .find(name)
        .map(|instance| (instance, instance.state(now())))
    {
        None => format!("instance \"{name}\" does not exist"),
        Some((_, Power::Deleted)) => format!("instance \"{name}\" is deleted"),
        Some((instance, Power::Running)) if instance.ssh && !call.struck(&Effect::SshFails) => {
            return Ok(Ok(call.store.guest(name)));
        }
        Some((_, Power::Running)) => "ssh connection failed: 'Connection refused'".to_owned(),
        Some(_) => format!("instance \"{name}\" is not running"),
    };
    Ok(Err(call.fail("transfer", &message)))
}

fn put(
    call: &mut Call,
    guest: &Guest,
    source: End<'_>,
    path: &str,
    flags: Flags,
) -> io::Result<Result<(), String>> {
    match source {
        End::Stream => {
            let bytes = call.read_stdin()?;
            let windows = call.store.look()?.windows;
            let bytes = if windows { as_text(&bytes) } else { bytes };
            store(call, guest, (path, "stdin"), (&bytes, STREAM_MODE), flags)
        }
        End::Host(file) => put_host(call, guest, Path::new(file), path, flags),
        End::Guest(..) => Ok(Ok(())),
    }
}

/// Brings a file, or with `-r` a folder, to the guest.
fn put_host(
    call: &mut Call,
    guest: &Guest,
    file: &Path,
    path: &str,
    flags: Flags,
) -> io::Result<Result<(), String>> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if file.is_dir() {
        if !flags.recursive {
            let text = format!("'{}' is a directory, use -r", file.display());
            return Ok(Err(text));
        }
        // A folder that is there takes the new one in; else it becomes the target.
        let inner = if guest.path(path).is_dir() {
            format!("{}/{name}", path.trim_end_matches('/'))
        } else {
            path.to_owned()
        };
        let flags = Flags {
            parents: true,
            many: false,
            ..flags
        };
        for entry in fs::read_dir(file)? {
            let entry = entry?.path();
            let below = entry.file_name().unwrap_or_default().to_string_lossy();
            let done = put_host(call, guest, &entry, &format!("{inner}/{below}"), flags)?;
            if done.is_err() {
                return Ok(done);
            }
        }
        return Ok(Ok(()));
    }
    match read_host(file) {
        Ok((bytes, mode)) => store(call, guest, (path, &name), (&bytes, mode), flags),
        Err(error) => Ok(Err(format!(
            "cannot open local file {}: {error}",
            file.display()
        ))),
    }
}

/// Writes to the guest what a fault leaves of the bytes.
fn store(
    call: &mut Call,
    guest: &Guest,
    (path, name): (&str, &str),
    (bytes, mode): (&[u8], u32),
    flags: Flags,
) -> io::Result<Result<(), String>> {
    let kept = call.effects.iter().find_map(|effect| match effect {
        Effect::Cut(kept) => usize::try_from(*kept).ok(),
        _ => None,
    });
    let bytes = bytes.get(..kept.unwrap_or(bytes.len())).unwrap_or(bytes);
    let result = guest.receive(path, name, bytes, mode, (flags.parents, flags.many))?;
    call.end.changed_guest |= result.is_ok();
    Ok(result)
}

fn read_host(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    Ok((fs::read(path)?, mode))
}

fn get(call: &Call, guest: &Guest, path: &str, target: End<'_>) -> io::Result<Result<(), String>> {
    let (bytes, mode) = match guest.send(path)? {
        Ok(sent) => sent,
        Err(message) => return Ok(Err(message)),
    };
    match target {
        End::Stream => {
            let bytes = if call.store.look()?.windows {
                as_text(&bytes)
            } else {
                bytes
            };
            let _nobody_reads = io::stdout().write_all(&bytes);
            Ok(Ok(()))
        }
        End::Host(file) => {
            let mut file = Path::new(file).to_owned();
            if file.is_dir() {
                file.push(Path::new(path).file_name().unwrap_or_default());
            }
            let written = fs::write(&file, &bytes)
                .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(mode)));
            Ok(written
                .map_err(|error| format!("cannot open local file {}: {error}", file.display())))
        }
        End::Guest(..) => Ok(Ok(())),
    }
}

/// What a text stream makes of bytes: CRLF of every LF.
fn as_text(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte == b'\n' {
            text.push(b'\r');
        }
        text.push(byte);
    }
    text
}
