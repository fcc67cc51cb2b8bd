//! An update that is killed, at every request and while the new program is tried: the old program is there, and the next
//! update goes through and leaves nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::server::Answer;
use super::{HERE, Scene, names, script};

#[test]
fn killed_at_every_request_the_old_program_is_there() {
    let archive = format!("/download/v9.8.7/{}", names("9.8.7").0);
    let paths = [
        "/latest/download/SHA256SUMS.minisig",
        "/download/v9.8.7/SHA256SUMS",
        &archive,
    ];
    for (number, path) in paths.into_iter().enumerate() {
        let scene = Scene::new();
        scene.release("9.8.7", &script("9.8.7"));
        let whole = scene.server.get(path);
        scene.server.set(path, Answer::Nothing);
        let running = scene.start(&["update"], &[]);
        scene.server.wait_for(number);
        running.kill();
        let ran = running.wait();
        assert_eq!(ran.signal, Some(9), "{}", ran.seen());
        assert_eq!(scene.beside(), [".polis-update-new", "polis"]);
        let version = scene.polis(&["version"]);
        assert!(
            version.stdout.starts_with(&format!("polis {HERE}\n")),
            "{path}"
        );

        scene.server.set(path, whole);
        let ran = scene.polis(&["update"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(scene.is(), "polis 9.8.7");
    }
}

#[test]
fn killed_while_the_new_program_is_tried_the_old_one_is_there() {
    let scene = Scene::new();
    let marker = scene.world.dir().join("tried");
    let slow = format!("#!/bin/sh\n: >'{}'\nexec sleep 5\n", marker.display());
    scene.release("9.8.7", slow.as_bytes());
    let running = scene.start(&["update"], &[]);
    let end = Instant::now() + Duration::from_secs(30);
    while !marker.exists() {
        assert!(Instant::now() < end, "{}", running.stderr());
        thread::sleep(Duration::from_millis(2));
    }
    running.kill();
    running.wait();
    assert_eq!(scene.beside(), [".polis-update-new", "polis"]);
    scene.release("9.8.7", &script("9.8.7"));
    // Also what an update on Windows leaves.
    fs::write(scene.path().with_file_name(".polis-update-old"), "old").expect("a file");
    let ran = scene.polis(&["update"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(scene.is(), "polis 9.8.7");
}

#[test]
fn ctrl_c_leaves_the_old_program_and_nothing_beside_it() {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    scene
        .server
        .set("/download/v9.8.7/SHA256SUMS", Answer::Nothing);
    let running = scene.start(&["update"], &[]);
    scene.server.wait_for(1);
    running.interrupt();
    let ran = running.wait();
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    assert_eq!(scene.is(), format!("polis {HERE}"));
}

#[test]
fn two_updates_do_not_meet_and_a_program_that_runs_goes_on() {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    let sums = "/download/v9.8.7/SHA256SUMS";
    let whole = scene.server.get(sums);
    scene.server.set(sums, Answer::Nothing);
    let first = scene.start(&["update"], &[]);
    scene.server.wait_for(1);
    let second = scene.polis(&["update"]);
    assert_eq!(second.code, Some(14), "{}", second.seen());

    // One that only looks runs on while its program is replaced.
    first.kill();
    assert_eq!(first.wait().signal, Some(9));
    scene.server.seen();
    let mut looking = scene.start(&["update", "--check"], &[]);
    scene.server.wait_for(1);
    scene.server.set(sums, whole);
    // As from a shell that has found the old one before.
    let path = scene.path().display().to_string();
    let lines = format!("'{path}' update && '{path}' version");
    let ran = scene
        .world
        .run(std::path::Path::new("/bin/sh"), &["-c", &lines]);
    assert!(ran.stdout.ends_with("\npolis 9.8.7\n"), "{}", ran.seen());
    assert!(looking.runs());
}

#[test]
fn killed_at_any_moment_one_of_both_is_there_whole() {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    let old = fs::read(scene.path()).expect("the program");
    let begun = Instant::now();
    assert_eq!(scene.polis(&["update"]).code, Some(0));
    let step = begun.elapsed() / 20;
    let mut seen = [0, 0];
    // A little later each time, until some were done before.
    for part in 0_u32.. {
        if part >= 30 && seen[1] > 0 {
            break;
        }
        assert!(part < 300, "{seen:?}");
        scene.put(&old);
        let running = scene.start(&["update"], &[]);
        thread::sleep(step * part);
        running.kill();
        running.wait();
        let now = fs::read(scene.path()).expect("a program");
        let is_new = now == script("9.8.7");
        assert!(is_new || now == old, "{part}");
        seen[usize::from(is_new)] += 1;
    }
    assert!(seen[0] > 0, "{seen:?}");
    scene.put(&old);
    assert_eq!(scene.polis(&["update"]).code, Some(0));
    assert_eq!(scene.is(), "polis 9.8.7");
}
