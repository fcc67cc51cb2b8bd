//! The terminal after a first `polis start`, and the section of README.md that shows it to readers. The stage itself writes that
//! section; without `UPDATE_EXPECT` it only compares, ignoring what differs from run to run.

use std::fs;
use std::num::NonZero;

use polis_stack_proof::{Result, tree};

/// The rows of a terminal that never scrolls, and its columns.
const ROWS: NonZero<u16> = NonZero::new(200).expect("not 0");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("not 0");
/// The text around the recorded session.
const BEGIN: &str = "<!-- recorded: polis start -->\n```console\n$ polis start\n";
const END: &str = "```\n<!-- end of the recorded session -->\n";
const UPDATE: &str = "UPDATE_EXPECT=1 cargo test --workspace --test first -- from_nothing";

/// The lines that a terminal shows after this output, without trailing blanks.
pub(crate) fn screen(output: &str) -> String {
    let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
    terminal.process(output.as_bytes());
    let rows: Vec<String> = terminal.screen().rows(0, COLUMNS.get()).collect();
    let lines = rows.iter().map(|row| row.trim_end());
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}

/// The title and the seconds of a line such as `Pulling the images (14 s)`.
pub(crate) fn timed(line: &str) -> Option<(&str, f64)> {
    let (title, time) = line.strip_suffix(" s)")?.rsplit_once(" (")?;
    (!title.starts_with(' ')).then_some((title, time.parse().ok()?))
}

/// Compares the session recorded in README.md with this one, or replaces it.
///
/// # Errors
/// When they differ, or README.md has no section for it.
pub(crate) fn compare(screen: &str) -> Result<()> {
    let path = tree::repository().join("README.md");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(failed)?;
    let place = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (session, after) = rest.split_once(END)?;
        Some((before, session, after))
    });
    let (before, session, after) =
        place.ok_or_else(|| format!("{} has no recorded session", path.display()))?;
    if stable(session) == stable(screen) {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(&path, [before, BEGIN, screen, END, after].concat()).map_err(failed);
    }
    Err(format!(
        "README.md shows another session; `{UPDATE}` records it\n--- README.md\n{session}--- now\n{screen}"
    ))
}

/// The lines without times and without the steps of the provisioning: `polis` polls those every few seconds, and prints only the
/// ones that it has seen.
fn stable(session: &str) -> Vec<String> {
    let digits = regex::Regex::new(r"\d+ s\b").expect("a pattern");
    let lines = session.lines().filter(|line| !line.starts_with("  "));
    lines
        .map(|line| digits.replace_all(line, "N s").into_owned())
        .collect()
}
