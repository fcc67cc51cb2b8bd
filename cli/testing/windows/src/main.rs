//! `multipass.exe`: the client of the fake for `polis.exe` under Wine. If called `curl.exe`, it is curl.
//!
//! The fake needs Unix, so this program only sends it the command line, over a connection to the test, and prints what comes back.
//! Multipass prints in the text mode of Windows: each line ends with a carriage return and a line feed. When this program exits,
//! the connection closes, which ends the call.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

/// The environment variable with the address of the test.
const BRIDGE: &str = "FAKE_MULTIPASS_BRIDGE";

fn main() -> ExitCode {
    ask().unwrap_or_else(|error| {
        eprintln!("multipass.exe: the fake itself failed: {error}");
        ExitCode::from(70)
    })
}

fn ask() -> io::Result<ExitCode> {
    let address = std::env::var(BRIDGE).map_err(io::Error::other)?;
    let mut test = TcpStream::connect(address)?;
    let program = std::env::current_exe()?;
    let program = program.file_stem().unwrap_or_default().to_string_lossy();
    let args = std::env::args().skip(1);
    let args: Vec<String> = std::iter::once(program.to_string()).chain(args).collect();
    test.write_all(&length(args.len())?)?;
    for arg in args {
        test.write_all(&length(arg.len())?)?;
        test.write_all(arg.as_bytes())?;
    }
    loop {
        let [kind, rest @ ..] = read::<5>(&mut test)?;
        let number = u32::from_be_bytes(rest);
        if kind == 0 {
            return Ok(ExitCode::from(u8::try_from(number).unwrap_or(255)));
        }
        let mut text = vec![0; usize::try_from(number).map_err(io::Error::other)?];
        test.read_exact(&mut text)?;
        let text = if program == "curl" {
            text
        } else {
            as_text(&text)
        };
        // A closed pipe does not end the process.
        let _reader_gone = match kind {
            1 => io::stdout().write_all(&text),
            _ => io::stderr().write_all(&text),
        };
    }
}

fn length(of: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(of).map_err(io::Error::other)?;
    Ok(length.to_be_bytes())
}

fn read<const COUNT: usize>(from: &mut impl Read) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    from.read_exact(&mut bytes).map(|()| bytes)
}

fn as_text(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.fold(Vec::new(), |mut text, line| {
        match line.strip_suffix(b"\n") {
            Some(line) => text.extend([line, b"\r\n"].concat()),
            None => text.extend(line),
        }
        text
    })
}
