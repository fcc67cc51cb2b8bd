//! `multipass transfer`: copies files between host and guest over SFTP, as the guest's user.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::answers;
use crate::call::{Call, log_line};
use crate::fault::Effect;
use crate::grammar::{Grammar, Parsed};
use crate::guest::Guest;
use crate::store::now;

pub(super) const GRAMMAR: Grammar = Grammar {
    name: "transfer",
    valued: &[],
    flags: &[&["recursive", "r"], &["parents", "p"]],
    arity: (2, usize::MAX),
    guest_command: false,
};

/// The file name of a stream in a folder.
const STREAM_NAME: &str = "stream_output.dat";

/// One end of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    Stream,
    Host(&'a str),
    Guest(&'a str, &'a str),
}

impl<'a> End<'a> {
    /// A path with a `:` is in an instance, except for a drive on Windows.
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
        return Ok(call.refuse("Not enough arguments given\n"));
    };
    if let Some(text) = usage(sources, *target) {
        return Ok(call.refuse(text));
    }
    let flags = Flags {
        parents: parsed.has("parents"),
        recursive: parsed.has("recursive"),
    };
    let mut failed = false;
    for source in sources {
        let ((End::Guest(name, _), _) | (_, End::Guest(name, _))) = (*source, *target) else {
            continue;
        };
        let guest = match reach(call, name)? {
            Ok(guest) => guest,
            Err(code) => return Ok(code),
        };
        if sources.len() > 1
            && let Some(text) = not_a_folder(&guest, *target)
        {
            call.err(&text);
            return Ok(2);
        }
        let done = match (*source, *target) {
            (source, End::Guest(_, path)) => put(call, &guest, source, path, flags)?,
            (End::Guest(_, path), target) => get(call, &guest, path, target, flags)?,
            _ => Ok(()),
        };
        if let Err(message) = done {
            // Only errors about files are logged; a stream ends with an exception.
            let stream = [*source, *target].contains(&End::Stream);
            call.err(&match stream {
                true => format!("{message}\n"),
                false => log_line("sftp", &message),
            });
            failed = true;
        }
    }
    Ok(if failed { 2 } else { 0 })
}

#[derive(Debug, Clone, Copy)]
struct Flags {
    parents: bool,
    recursive: bool,
}

/// The client's error for an invalid combination of ends, checked in its order (`src/client/cli/cmd/transfer.cpp` of
/// canonical/multipass).
fn usage(sources: &[End<'_>], target: End<'_>) -> Option<&'static str> {
    let in_guest = |end: &End<'_>| matches!(end, End::Guest(..));
    let from_guest = sources.iter().filter(|end| in_guest(end)).count();
    let streams = sources.iter().filter(|end| **end == End::Stream).count();
    let streams = streams + usize::from(target == End::Stream);
    match () {
        () if streams > 1 => Some("Only one '-' allowed\n"),
        () if streams == 1 && sources.len() > 1 => {
            Some("Only two arguments allowed when using '-'\n")
        }
        () if target == End::Stream && from_guest == 0 => {
            Some("Source must be from inside an instance\n")
        }
        () if streams == 1 && target != End::Stream && !in_guest(&target) => {
            Some("Target must be inside an instance\n")
        }
        () if in_guest(&target) && from_guest > 0 => {
            Some("Cannot specify an instance name for both source and destination\n")
        }
        () if in_guest(&target) || from_guest == sources.len() => None,
        () if from_guest > 0 => Some("All sources must be from inside an instance\n"),
        () => Some("An instance name is needed for either source or destination\n"),
    }
}

/// The error for several sources whose target is not a folder.
fn not_a_folder(guest: &Guest, target: End<'_>) -> Option<String> {
    let (path, there) = match target {
        End::Guest(_, path) => (path, guest.at(path).is_dir()),
        End::Host(path) => (path, Path::new(path).is_dir()),
        End::Stream => return None,
    };
    (!there).then(|| format!("[sftp] target {path} is not a directory\n"))
}

/// The guest, if files can be copied to it. Does not start it.
fn reach(call: &mut Call, name: &str) -> io::Result<Result<Guest, u8>> {
    let state = match call.daemon("transfer")? {
        Ok(state) => state,
        Err(code) => return Ok(Err(code)),
    };
    let instance = state.find(name);
    let power = instance.map(|instance| instance.state(now()));
    let message = match answers::credentials(name, power) {
        Ok(true) => None,
        Ok(false) => Some(format!("instance \"{name}\" is not running")),
        Err(message) => Some(message),
    };
    if let Some(message) = message {
        return Ok(Err(call.fail("transfer", &message)));
    }
    if instance.is_some_and(|instance| !instance.ssh) || call.struck(&Effect::SshFails) {
        // From here on, the client works without the daemon, and its errors do not name the command.
        call.err("ssh connection failed: 'Connection refused'\n");
        return Ok(Err(2));
    }
    Ok(Ok(call.store.guest(name)))
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
            let path = into(guest, path, STREAM_NAME);
            store(call, guest, &path, (&bytes, None), flags)
        }
        End::Host(file) => put_host(call, guest, Path::new(file), path, flags),
        End::Guest(..) => Ok(Ok(())),
    }
}

/// The destination of something called `name`: inside the target if that is a folder.
fn into(guest: &Guest, path: &str, name: &str) -> String {
    match guest.at(path).is_dir() {
        true => format!("{}/{name}", path.trim_end_matches('/')),
        false => path.to_owned(),
    }
}

/// Copies a file, or with `-r` a folder, to the guest.
fn put_host(
    call: &mut Call,
    guest: &Guest,
    file: &Path,
    path: &str,
    flags: Flags,
) -> io::Result<Result<(), String>> {
    let shown = file.display();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let path = into(guest, path, &name);
    if !file.is_dir() {
        return match read_host(file) {
            Ok((bytes, mode)) => store(call, guest, &path, (&bytes, Some(mode)), flags),
            Err(error) => Ok(Err(format!("cannot open local file {shown}: {error}"))),
        };
    }
    if !flags.recursive {
        return Ok(Err(format!(
            "omitting local directory {shown}: recursive mode not specified"
        )));
    }
    fs::create_dir_all(guest.at(&path))?;
    for entry in fs::read_dir(file)? {
        let done = put_host(call, guest, &entry?.path(), &path, flags)?;
        if done.is_err() {
            return Ok(done);
        }
    }
    let mode = fs::metadata(file)?.permissions();
    fs::set_permissions(guest.at(&path), mode)?;
    Ok(Ok(()))
}

/// Writes to the guest the bytes that a fault leaves.
fn store(
    call: &mut Call,
    guest: &Guest,
    path: &str,
    (bytes, mode): (&[u8], Option<u32>),
    flags: Flags,
) -> io::Result<Result<(), String>> {
    let kept = call.effects.iter().find_map(|effect| match effect {
        Effect::Cut(kept) => usize::try_from(*kept).ok(),
        _ => None,
    });
    let bytes = bytes.get(..kept.unwrap_or(bytes.len())).unwrap_or(bytes);
    let full = call.store.look()?.disk_full;
    let result = guest.receive(path, bytes, mode, flags.parents, full)?;
    call.end.changed_guest |= result.is_ok();
    Ok(result)
}

fn read_host(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    Ok((fs::read(path)?, mode))
}

fn get(
    call: &Call,
    guest: &Guest,
    path: &str,
    target: End<'_>,
    flags: Flags,
) -> io::Result<Result<(), String>> {
    let folder = guest.at(path).is_dir();
    let mut target = match target {
        End::Host(file) => Path::new(file).to_owned(),
        _ => {
            let windows = call.store.look()?.windows;
            return Ok(guest.send(path)?.map(|(bytes, _)| {
                let bytes = if windows { as_text(&bytes) } else { bytes };
                let _reader_gone = io::stdout().write_all(&bytes);
            }));
        }
    };
    if folder && !flags.recursive {
        return Ok(Err(format!(
            "omitting remote directory {path}: recursive mode not specified"
        )));
    }
    if target.is_dir() {
        target.push(Path::new(path).file_name().unwrap_or_default());
    }
    if !folder {
        let (bytes, mode) = match guest.send(path)? {
            Ok(sent) => sent,
            Err(message) => return Ok(Err(message)),
        };
        let shown = target.display();
        let written = fs::write(&target, &bytes)
            .and_then(|()| fs::set_permissions(&target, fs::Permissions::from_mode(mode)));
        return Ok(written.map_err(|error| format!("cannot open local file {shown}: {error}")));
    }
    fs::create_dir_all(&target)?;
    let inner = target.display().to_string();
    for entry in fs::read_dir(guest.at(path))? {
        let below = entry?.file_name();
        let below = format!("{path}/{}", below.to_string_lossy());
        let done = get(call, guest, &below, End::Host(&inner), flags)?;
        if done.is_err() {
            return Ok(done);
        }
    }
    let mode = fs::metadata(guest.at(path))?.permissions();
    fs::set_permissions(&target, mode)?;
    Ok(Ok(()))
}

/// Converts bytes as a text stream does: each LF becomes CRLF.
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
