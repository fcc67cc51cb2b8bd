//! Checks the `multipass` on the PATH against each row of the contract that `polis` relies on, and prints the differences.
//!
//! CI checks the fake, a maintainer the real one: see README.md.

mod host;
mod rows;
mod vm;

use std::process::ExitCode;
use std::time::Duration;

use host::Host;
use rows::Row;

const ROWS: &str = include_str!("rows.txt");
const HELP: &str = "\
Checks the behaviour that `polis` relies on in the `multipass` on the PATH, and prints the differences.

Usage: conformance [OPTIONS] [GROUP...]

Groups:
  plain            rows that need no instance (default)
  vm               creates an instance, takes it through its states and purges it: about 5 minutes
  boot             first boots, one of which blocks the daemon for 5 minutes: about 10 minutes
  bare             `start` and `stop` without a name; refused if an instance `primary` exists
  daemon-down, no-access, unauthenticated, never-ran
                   the client's messages in a condition that you arrange

Options:
  --list           Print the rows of the groups, and make no call
  --name NAME      The name of the instance [default: polis-conformance]
  --limit SECONDS  How long a call may take [default: 900]
  --patience SECONDS
                   How long to watch a call that must not end [default: 10]
  --help           Print this

Exit codes: 0 no difference, 1 a row differs, 2 a row could not be checked.
Changes only the instance NAME, which must not exist yet.
";

/// The command line.
struct Options {
    groups: Vec<String>,
    list: bool,
    name: String,
    limit: Duration,
    patience: Duration,
}

/// The group of a row: what the maintainer must agree to or arrange first.
fn group(row: &Row) -> &str {
    match row.on.as_str() {
        "none" => "plain",
        "absent" | "running" | "stopped" | "suspended" | "deleted" | "delayed" => "vm",
        "late" | "booting" | "lost" => "boot",
        other => other,
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("conformance: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let Some(options) = options(std::env::args().skip(1))? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let all = rows::read(ROWS)?;
    for wanted in &options.groups {
        if !all.iter().any(|row| group(row) == wanted) {
            return Err(format!("unknown group `{wanted}`; see --help"));
        }
    }
    let chosen = |row: &&Row| options.groups.iter().any(|wanted| wanted == group(row));
    let rows: Vec<&Row> = all.iter().filter(chosen).collect();
    if options.list {
        for row in &rows {
            let line = row.call.args.join(" ");
            println!(
                "{:<24} {:<16} multipass {line}\n{:<41} {}",
                row.name, row.on, "", row.page
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let host = Host::new(&options.name, options.limit, options.patience)?;
    vm::refuse_what_is_there(&host, &options.groups)?;
    println!(
        "checking {} of {} rows ({}); instance: {}",
        rows.len(),
        all.len(),
        options.groups.join(", "),
        options.name
    );
    let differing = ask(&host, &rows);
    // Clean up even after a failure.
    vm::clean_up(&host, &options.groups)?;
    let differing = differing?;
    println!("{} rows checked, {differing} differ", rows.len());
    Ok(ExitCode::from(u8::from(differing > 0)))
}

/// Checks rows in order; returns how many differ.
fn ask(host: &Host, rows: &[&Row]) -> Result<usize, String> {
    let mut differing = 0;
    for row in rows {
        let row = row.filled(&host.values());
        let booting =
            vm::arrange(host, &row.on).map_err(|error| format!("{}: {error}", row.name))?;
        let differences = match host.ask(&row) {
            Ok(answer) => row.differences(&answer),
            Err(error) => vec![error],
        };
        drop(booting);
        if differences.is_empty() {
            println!("ok      {}", row.name);
            continue;
        }
        differing += 1;
        println!(
            "DIFFERS {}: multipass {}",
            row.name,
            row.call.args.join(" ")
        );
        println!("        page: {}", row.page);
        for difference in differences {
            println!("        {difference}");
        }
    }
    Ok(differing)
}

fn options(args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        groups: Vec::new(),
        list: false,
        name: "polis-conformance".to_owned(),
        limit: Duration::from_secs(900),
        patience: Duration::from_secs(10),
    };
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let seconds = |text: String| match text.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => Err(format!("invalid number of seconds `{text}`")),
        };
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--list" => options.list = true,
            "--name" => options.name = value()?,
            "--limit" => options.limit = seconds(value()?)?,
            "--patience" => options.patience = seconds(value()?)?,
            other if other.starts_with('-') => {
                return Err(format!("unknown option `{other}`; see --help"));
            }
            group => options.groups.push(group.to_owned()),
        }
    }
    if options.groups.is_empty() {
        options.groups.push("plain".to_owned());
    }
    Ok(Some(options))
}
