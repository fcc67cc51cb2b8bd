//! A workspace from nothing, with files instead of pipes and captured output, as Multipass on Windows needs.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use fake_multipass::{Effect, Fault, Ran};

use crate::machine::Machine;

#[test]
fn a_workspace_starts_and_copies_files_both_ways() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let ran = machine.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(machine.sandbox.refused(), [""; 0]);
    // The directory, which is not hidden, keeps no file that Multipass has read.
    let left: Vec<_> = fs::read_dir(machine.profile().join("Polis"))
        .expect("the state directory")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["lock"]);
    // The second start has nothing to do, whatever line endings Multipass prints.
    let ran = machine.polis(&["start", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(ran.stdout.contains(r#""did": []"#), "{}", ran.seen());

    let here = machine.path(r"C:\users\a b");
    fs::create_dir_all(here.join("project")).expect("a directory");
    let bytes = b"lines\r\nand\nbytes \x00\xff\x1a".as_slice();
    fs::write(here.join("project/data"), bytes).expect("a file");
    let ran = machine.polis(&["cp", r"C:\users\a b\project", "workspace:"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let ran = machine.polis(&["cp", "workspace:project", r"C:\users\a b\back"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let back = fs::read(here.join("back/data")).expect("the copy");
    assert_eq!(back, bytes);
}

#[test]
fn arguments_and_exit_codes_pass_through() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let ran = machine.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let words = [
        "plain",
        "two words",
        "",
        "\"",
        r#"a "b" c"#,
        r"C:\x\",
        r#"\\"#,
        r#"\""#,
        "%PATH%",
        "^&|<>",
        "Ähre €",
        "'",
        "$HOME",
    ];
    let args = [&["exec", "--vm", "--", "printf", "<%s>\\n"][..], &words].concat();
    let ran = machine.polis(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let expected: String = words.iter().map(|word| format!("<{word}>\n")).collect();
    assert_eq!(ran.stdout, expected, "{}", ran.seen());
    // More than a call can print at once on Windows, on both streams, with codes that Multipass itself uses.
    for code in [0, 1, 4, 255] {
        let script = format!("seq 2000; seq 1000 >&2; exit {code}");
        // Wine 10 sometimes crashes (SIGSEGV) when a program ends that has printed much, or loses its exit code. The output is still
        // complete, and a bug of ours would show every time.
        let came = (0..8).any(|_| {
            let ran = machine.polis(&["exec", "--vm", "--", "sh", "-c", &script]);
            let lines = (ran.stdout.lines().count(), ran.stderr.lines().count());
            assert_eq!(lines, (2000, 1000), "{}", ran.seen());
            assert!(
                [Some(code), Some(0), None].contains(&ran.code),
                "{:?}",
                ran.code
            );
            ran.code == Some(code)
        });
        assert!(came, "the code {code} is lost each time");
    }
    assert_eq!(machine.sandbox.refused(), [""; 0]);
}

#[test]
fn a_second_start_is_refused_and_an_interrupted_one_is_resumed() {
    // On a busy machine, Wine sometimes loses the exit code of a program that is interrupted. A bug of ours would show every time.
    let came = (0..3).any(|_| {
        let Some(machine) = Machine::new() else {
            return true;
        };
        let interrupted = interrupted_and_resumed(&machine);
        let seen = interrupted.seen();
        assert!(interrupted.stderr.contains("error: interrupted"), "{seen}");
        assert!([Some(130), Some(0)].contains(&interrupted.code), "{seen}");
        interrupted.code == Some(130)
    });
    assert!(came, "the code 130 is lost each time");
}

/// Interrupts a start beside which a second one is refused, and starts again; returns what the interrupted one printed.
fn interrupted_and_resumed(machine: &Machine) -> Ran {
    machine
        .sandbox
        .fault(Fault::of("launch", Effect::Slow(600_000)));
    let first = machine.start(&["start", "--quiet"], &[]);
    let since = Instant::now();
    while machine.sandbox.calls_of("launch").is_empty() {
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{}",
            first.stderr()
        );
        thread::sleep(Duration::from_millis(20));
    }
    let second = machine.polis(&["start", "--quiet"]);
    assert_eq!(second.code, Some(14), "{}", second.seen());
    first.interrupt();
    let first = first.wait();
    machine.sandbox.clear_faults();
    let ran = machine.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    first
}
