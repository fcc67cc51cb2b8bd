//! Connects `multipass.exe` to the fake, and `curl.exe` to curl. Each call has its own connection, which ends when either side
//! does.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::process;

/// Answers calls for as long as the test runs; returns the address. `command` prepares a call of a program, still without
/// arguments, and `drive_c` is the directory that Windows programs see as `C:\`.
///
/// # Panics
/// When no port is free.
pub(super) fn serve(
    command: impl Fn(&str) -> Command + Send + Sync + 'static,
    drive_c: &Path,
) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (command, drive_c) = (Arc::new(command), drive_c.to_owned());
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (command, drive_c) = (Arc::clone(&command), drive_c.clone());
            // A client that is gone gets no error.
            thread::spawn(move || answer(connection, &*command, &drive_c));
        }
    });
    address
}

fn answer(
    mut client: TcpStream,
    command: &dyn Fn(&str) -> Command,
    drive_c: &Path,
) -> io::Result<()> {
    let mut words = Vec::new();
    for _ in 0..number(&mut client)? {
        let mut word = vec![0; number(&mut client)? as usize];
        client.read_exact(&mut word)?;
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    // The arguments of `exec` are for the guest, not for this machine.
    if words.get(1).is_none_or(|verb| verb != "exec") {
        words = words.iter().map(|word| here(word, drive_c)).collect();
    }
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let mut command = command(program);
    command.args(args);
    let streams = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = streams.stderr(Stdio::piped()).spawn()?;
    let pid = child.id();
    let mut hears = client.try_clone()?;
    thread::spawn(move || {
        // The client sends nothing more, so this is its end.
        let _end = hears.read(&mut [0]);
        process::kill_group(pid);
    });
    let code = pass_on(&mut child, client.try_clone()?)?;
    frame(&mut client, 0, code, b"")?;
    client.shutdown(std::net::Shutdown::Both)
}

/// Passes on the output of the call, and returns its exit code.
fn pass_on(child: &mut Child, client: TcpStream) -> io::Result<u32> {
    let client = Mutex::new(client);
    thread::scope(|scope| {
        if let Some(pipe) = child.stdout.take() {
            scope.spawn(|| copy(pipe, 1, &client));
        }
        if let Some(pipe) = child.stderr.take() {
            scope.spawn(|| copy(pipe, 2, &client));
        }
    });
    let code = child.wait()?.code().unwrap_or(255);
    u32::try_from(code).map_err(io::Error::other)
}

fn copy(mut pipe: impl Read, kind: u8, client: &Mutex<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = pipe.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
        let length = u32::try_from(count).map_err(io::Error::other)?;
        frame(&mut client, kind, length, &buffer[..count])?;
    }
}

fn frame(client: &mut TcpStream, kind: u8, number: u32, bytes: &[u8]) -> io::Result<()> {
    client.write_all(&[&[kind], &number.to_be_bytes()[..], bytes].concat())
}

fn number(client: &mut TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    client.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Converts a Windows path to a local one; returns anything else unchanged.
fn here(arg: &str, drive_c: &Path) -> String {
    let unix = |path: &str| path.replace('\\', "/");
    match arg.as_bytes() {
        [b'C' | b'c', b':', b'\\', ..] => format!("{}{}", drive_c.display(), unix(&arg[2..])),
        [b'Z' | b'z', b':', b'\\', ..] => unix(&arg[2..]),
        _ => arg.to_owned(),
    }
}
