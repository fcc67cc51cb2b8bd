//! Kills an update at every request and while it tries the new program. The old program stays in place, and the next update
//! succeeds and leaves nothing behind.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::server::Answer;
use super::{Fixture, HERE, names, script};

#[test]
fn the_old_program_survives_a_kill_at_any_request() {
    let archive = format!("/download/v9.8.7/{}", names("9.8.7").0);
    let paths = [
        "/latest/download/SHA256SUMS.minisig",
        "/download/v9.8.7/SHA256SUMS",
        &archive,
    ];
    for (number, path) in paths.into_iter().enumerate() {
        let fixture = Fixture::new();
        fixture.release("9.8.7", &script("9.8.7"));
        let whole = fixture.server.get(path);
        fixture.server.set(path, Answer::Nothing);
        let running = fixture.start(&["update"], &[]);
        fixture.server.wait_for(number);
        running.kill();
        let ran = running.wait();
        assert_eq!(ran.signal, Some(9), "{}", ran.seen());
        assert_eq!(fixture.beside(), [".polis-update-new", "polis"]);
        let version = fixture.polis(&["version"]);
        assert!(
            version.stdout.starts_with(&format!("polis {HERE}\n")),
            "{path}"
        );

        fixture.server.set(path, whole);
        let ran = fixture.polis(&["update"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(fixture.is(), "polis 9.8.7");
    }
}

#[test]
fn the_old_program_survives_a_kill_while_the_new_one_is_tried() {
    let fixture = Fixture::new();
    let marker = fixture.sandbox.dir().join("tried");
    let slow = format!("#!/bin/sh\n: >'{}'\nexec sleep 5\n", marker.display());
    fixture.release("9.8.7", slow.as_bytes());
    let running = fixture.start(&["update"], &[]);
    let end = Instant::now() + Duration::from_secs(30);
    while !marker.exists() {
        assert!(Instant::now() < end, "{}", running.stderr());
        thread::sleep(Duration::from_millis(2));
    }
    running.kill();
    running.wait();
    assert_eq!(fixture.beside(), [".polis-update-new", "polis"]);
    fixture.release("9.8.7", &script("9.8.7"));
    // Also remove what an update on Windows leaves.
    fs::write(fixture.path().with_file_name(".polis-update-old"), "old").expect("a file");
    let ran = fixture.polis(&["update"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(fixture.is(), "polis 9.8.7");
}

#[test]
fn ctrl_c_leaves_only_the_old_program() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    fixture
        .server
        .set("/download/v9.8.7/SHA256SUMS", Answer::Nothing);
    let running = fixture.start(&["update"], &[]);
    fixture.server.wait_for(1);
    running.interrupt();
    let ran = running.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    assert_eq!(fixture.is(), format!("polis {HERE}"));
}

#[test]
fn updates_exclude_each_other_and_a_running_program_keeps_running() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    let sums = "/download/v9.8.7/SHA256SUMS";
    let whole = fixture.server.get(sums);
    fixture.server.set(sums, Answer::Nothing);
    let first = fixture.start(&["update"], &[]);
    fixture.server.wait_for(1);
    let second = fixture.polis(&["update"]);
    assert_eq!(second.code, Some(14), "{}", second.seen());

    // `--check` keeps running while its program is replaced.
    first.kill();
    assert_eq!(first.wait().signal, Some(9));
    fixture.server.seen();
    let mut looking = fixture.start(&["update", "--check"], &[]);
    fixture.server.wait_for(1);
    fixture.server.set(sums, whole);
    // Like a shell that had already looked up the old program.
    let path = fixture.path().display().to_string();
    let lines = format!("'{path}' update && '{path}' version");
    let ran = fixture
        .sandbox
        .run(std::path::Path::new("/bin/sh"), &["-c", &lines]);
    assert!(ran.stdout.ends_with("\npolis 9.8.7\n"), "{}", ran.seen());
    assert!(looking.runs());
}

#[test]
fn a_kill_at_any_moment_leaves_either_program_complete() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    let old = fs::read(fixture.path()).expect("the program");
    let begun = Instant::now();
    assert_eq!(fixture.polis(&["update"]).code, Some(0));
    let step = begun.elapsed() / 20;
    let mut seen = [0, 0];
    // A little later each time, until some updates finish before the kill.
    for part in 0_u32.. {
        if part >= 30 && seen[1] > 0 {
            break;
        }
        assert!(part < 300, "{seen:?}");
        fixture.put(&old);
        let running = fixture.start(&["update"], &[]);
        thread::sleep(step * part);
        running.kill();
        running.wait();
        let now = fs::read(fixture.path()).expect("a program");
        let is_new = now == script("9.8.7");
        assert!(is_new || now == old, "{part}");
        seen[usize::from(is_new)] += 1;
    }
    assert!(seen[0] > 0, "{seen:?}");
    fixture.put(&old);
    assert_eq!(fixture.polis(&["update"]).code, Some(0));
    assert_eq!(fixture.is(), "polis 9.8.7");
}
