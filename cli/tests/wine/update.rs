//! `polis update` replaces a running program, whose file Windows locks.

use std::fs;
use std::io::{Cursor, Write};

use polis_base::Digest;

use crate::forge::{key, signed, with_key};
use crate::machine::Machine;
use crate::server::{Answer, Server};

/// The label of the program under test.
const HERE: &str = concat!(env!("CARGO_PKG_VERSION"), "-dev");

fn release(server: &Server, version: &str, program: &[u8]) {
    let stem = format!("polis-{version}-x86_64-pc-windows-msvc");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(
        format!("{stem}/polis.exe"),
        zip::write::SimpleFileOptions::default(),
    )
    .expect("an entry");
    zip.write_all(program).expect("a program");
    let archive = zip.finish().expect("an archive").into_inner();
    let sums = format!("{}  {stem}.zip\n", Digest::of(&archive).hex());
    let signature = signed(key(), &sums, &format!("Polis {version}"));
    let files = [
        ("SHA256SUMS".to_owned(), sums.into_bytes()),
        ("SHA256SUMS.minisig".to_owned(), signature.into_bytes()),
        (format!("{stem}.zip"), archive),
    ];
    for (name, bytes) in files {
        server.set(&format!("/download/v{version}/{name}"), Answer::File(bytes));
    }
}

#[test]
fn the_running_program_is_renamed_aside() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let program = machine.path(machine.program());
    let dir = program.with_file_name("");
    fs::copy(dir.join("multipass.exe"), dir.join("curl.exe")).expect("a curl");
    let bytes = fs::read(&program).expect("the program");
    let key = key().pk.to_base64();
    fs::write(&program, with_key(bytes.clone(), HERE, HERE, &key)).expect("a program");
    let server = Server::start();
    let env = [("POLIS_RELEASE_URL", &*server.url())];
    for version in ["9.0.1-dev", "9.0.2-dev"] {
        release(
            &server,
            version,
            &with_key(bytes.clone(), HERE, version, &key),
        );
        let ran = machine
            .start(&["update", "--version", version], &env)
            .wait();
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let ran = machine.polis(&["version"]);
        let new = format!("polis {version}\n");
        assert!(ran.stdout.starts_with(&new), "{}", ran.seen());
        // The old program could not be removed while it ran; the next update removes it.
        let names = fs::read_dir(&dir).expect("a directory").flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        names.sort();
        let expected = [
            ".polis-update-old.exe",
            "curl.exe",
            "multipass.exe",
            "polis.exe",
        ];
        assert_eq!(names, expected);
    }
    assert_eq!(machine.sandbox.calls().len(), 0);
}
