//! What a user sees on a terminal while `polis` works, and the state of the terminal afterwards.

use std::num::NonZero;

use expect_test::expect;
use fake_multipass::{Pull, Ran, Sandbox};

use crate::support::{running, sandbox};

const ROWS: NonZero<u16> = NonZero::new(60).expect("not 0");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("not 0");
const HALF: NonZero<u16> = NonZero::new(40).expect("not 0");

/// The lines of the screen after `output`, without trailing blanks.
fn lines(terminal: &vt100::Parser) -> Vec<String> {
    let rows = terminal.screen().rows(0, COLUMNS.get());
    let mut lines: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// The marker that a script prints after it has made the terminal narrower.
const NARROWED: &str = "\u{1b}]0;narrow\u{7}";

/// The final screen, with the duration of steps as N. Asserts that the terminal is restored.
fn screen(ran: &Ran) -> String {
    let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
    let (wide, narrow) = ran.stdout.split_once(NARROWED).unwrap_or((&ran.stdout, ""));
    terminal.process(wide.as_bytes());
    if !narrow.is_empty() {
        terminal.screen_mut().set_size(ROWS, HALF);
        terminal.process(narrow.as_bytes());
    }
    in_order(&terminal);
    let digits = |line: &str| match line.rsplit_once(" (").or(line.rsplit_once(", ")) {
        Some((title, time)) if time.ends_with(" s)") => format!("{title} (N s)\n"),
        Some((title, time)) if time.contains(" s. Next: ") => {
            let next = time.split_once(" s. ").map_or("", |(_, next)| next);
            format!("{title}, N s. {next}\n")
        }
        _ => format!("{line}\n"),
    };
    lines(&terminal).iter().map(|line| digits(line)).collect()
}

/// Asserts that the cursor is visible at the start of a line and that no progress line is left.
fn in_order(terminal: &vt100::Parser) {
    let screen = terminal.screen();
    assert!(!screen.hide_cursor() && !screen.alternate_screen());
    assert_eq!(screen.cursor_position().1, 0, "{}", screen.contents());
    assert_eq!(screen.fgcolor(), vt100::Color::Default);
    assert!(screen.attributes_formatted().len() < 8);
    let moving = lines(terminal).into_iter().find(|line| moves(line));
    assert_eq!(moving, None);
}

/// Whether this is the line of the step in progress: it begins with a Braille spinner.
fn moves(line: &str) -> bool {
    let first = line.chars().next().unwrap_or_default();
    ('\u{2800}'..='\u{28ff}').contains(&first)
}

/// The distinct texts of the progress line, in order.
fn moved(ran: &Ran) -> Vec<String> {
    let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
    let mut seen: Vec<String> = Vec::new();
    for part in ran.stdout.split_inclusive(['\r', '\n']) {
        terminal.process(part.as_bytes());
        let moving: Vec<String> = lines(&terminal)
            .into_iter()
            .filter(|line| moves(line))
            .collect();
        assert!(moving.len() < 2, "{moving:?}");
        for line in moving {
            if !seen.contains(&line) {
                seen.push(line);
            }
        }
    }
    seen
}

/// Runs a bash script on a capable terminal of 80 columns.
fn on_terminal(sandbox: &Sandbox, script: &str) -> Ran {
    let script = format!("stty cols 80 rows 60; {script}");
    sandbox.shell(&format!(
        "TERM=xterm SHELL=/bin/bash script --quiet --return --flush --command '{script}' /dev/null"
    ))
}

#[test]
fn a_start_shows_its_steps_and_the_next_command() {
    let sandbox = sandbox();
    sandbox.set(|state| {
        state.timing.image = 300;
        state.timing.boot = 300;
        state.timing.provision = 500;
    });
    let ran = on_terminal(&sandbox, "polis start");
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let shown: Vec<String> = screen(&ran)
        .lines()
        .filter(|line| !line.starts_with("  "))
        .map(str::to_owned)
        .collect();
    expect![[r#"
        ✓ Launching the VM (N s)
        ✓ Provisioning the VM (N s)
        ✓ Transferring the bundle (N s)
        ✓ Creating certificates and secrets (N s)
        ✓ Pulling the images (N s)
        ✓ Starting the services (N s)
        ✓ Waiting until every service is healthy (N s)
        ✓ Recording that the workspace is complete (N s)
        The workspace is running: 8 steps, N s. Next: polis shell"#]]
    .assert_eq(&shown.join("\n"));
    let moved = moved(&ran);
    assert!(
        moved.iter().any(|line| line.contains("Launching the VM: ")),
        "{moved:#?}"
    );
    assert!(ran.stdout.contains("\u{1b}[32m✓"), "{:?}", ran.stdout);
    let plain = on_terminal(&running(), "polis stop --color never");
    assert!(!plain.stdout.contains("\u{1b}[3"), "{:?}", plain.stdout);
}

#[test]
fn a_failed_step_is_marked_and_explained() {
    let sandbox = sandbox();
    sandbox.set(|state| {
        state.pulls.push(Pull {
            image: "polis-gate-oss".into(),
            message: "denied \u{1b}[2J\u{1b}[?25l".into(),
            left: None,
        });
    });
    let ran = on_terminal(&sandbox, "polis start 2>&1");
    assert_eq!(ran.code, Some(11), "{}", ran.seen());
    let shown = screen(&ran);
    assert!(
        shown.contains("\n✗ Pulling the images (N s)\nerror: could not pull an image\n"),
        "{shown}"
    );
}

#[test]
fn a_long_hostile_line_is_truncated_to_the_terminal() {
    let sandbox = sandbox();
    sandbox.set(|state| {
        state.timing.pull = 100;
        state.pulls.push(Pull {
            image: "polis-gate-oss".into(),
            message: format!("{}\u{1b}[2J\u{202e}", "long ".repeat(100)),
            left: Some(2),
        });
    });
    let ran = on_terminal(&sandbox, "polis start");
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    screen(&ran);
    assert!(!ran.stdout.contains("\u{1b}[2J") && !ran.stdout.contains('\u{202e}'));
    let moved = moved(&ran);
    assert!(moved.len() > 5, "{moved:#?}");
}

#[test]
fn a_pull_shows_its_progress_in_bytes() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.pull = 500);
    let ran = on_terminal(&sandbox, "polis start");
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let moved = moved(&ran);
    let pulls = moved
        .iter()
        .filter(|line| line.contains("Pulling the images: "));
    let bytes: Vec<&String> = pulls.filter(|line| line.contains(" MiB (")).collect();
    assert!(bytes.len() > 2, "{moved:#?}");
    assert!(
        bytes.iter().all(|line| line.contains(" images)")),
        "{moved:#?}"
    );
}

/// Output of Compose 2.40.3 for two images with three layers, one of them already present: 4.335 MB, 2.5 GB of which 1.2 GB
/// have arrived, and one whose size the registry does not report.
const PULL: &str = include_str!("pull.log");

#[test]
fn the_progress_of_a_pull_comes_from_the_output_of_compose() {
    let sandbox = running();
    let poll = include_str!("../../src/guest/job-poll.sh");
    let said = |log: &str| {
        sandbox.write_guest("/opt/polis/.jobs/pull-x/log", log);
        let args = [
            "exec", "-n", "polis", "--", "bash", "-c", poll, "polis", "pull-x",
        ];
        let ran = sandbox.multipass(&args, b"");
        let line = ran.stdout.lines().find(|line| line.starts_with("pulled"));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(said(PULL), "pulled 2 2 2504335123 2504335123 0");
    let until = |end: &str| &PULL[..PULL.find(end).unwrap()];
    assert_eq!(said(until(" 3e731ddb7fc9 Downloading")), "pulled 0 2 0 0 3");
    assert_eq!(
        said(until(" 47cafa6a79d0 Download complete")),
        "pulled 0 2 1204335123 2504335123 1"
    );
    // Compose 5 names images and omits layers that have not started.
    let log =
        " Image ghcr.io/x Pulling \n 3e731ddb7fc9 Downloading 49.15kB\n Image ghcr.io/x Pulled \n";
    assert_eq!(said(log), "pulled 1 1 49150 49150 1");
    assert_eq!(said("noise\n\u{0}\u{ff}\n"), "pulled 0 0 0 0 0");
}

#[test]
fn ctrl_c_and_a_resize_leave_the_terminal_usable() {
    let sandbox = sandbox();
    sandbox.set(|state| state.timing.provision = 60_000);
    let narrow = r#"stty cols 40 </dev/tty; printf "\033]0;narrow\007" >/dev/tty"#;
    let ran = on_terminal(
        &sandbox,
        &format!("(sleep 2; {narrow}; sleep 1; pkill -INT -P $$ polis) & polis start"),
    );
    assert_eq!(ran.code, Some(130), "{}", ran.seen());
    let shown = screen(&ran);
    assert!(
        shown.contains("✗ Launching the VM (N s)\nerror: interrupted"),
        "{shown}"
    );
}

#[test]
fn output_is_plain_without_a_capable_terminal() {
    let sandbox = running();
    for (environment, args) in [
        ("CI=true", ""),
        ("NO_COLOR=1", ""),
        ("TERM=dumb", ""),
        ("X=", "--verbose"),
        ("X=", "--json"),
        ("X=", "--quiet"),
    ] {
        let ran = on_terminal(&sandbox, &format!("{environment} polis stop {args}"));
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let told = ran.stdout.replace("\r\n", "\n");
        assert!(
            !told.contains(['\r', '\u{1b}']),
            "{environment} {args}: {told:?}"
        );
        let quiet = args == "--quiet";
        assert_eq!(
            told.contains("Stopping the VM\n"),
            !quiet,
            "{environment} {args}: {told}"
        );
        sandbox.multipass(&["start", "polis"], b"");
    }
}
