//! `ci`: everything that must pass, in the order in which it fails fastest; the test command of
//! this project, for people and for machines.

mod steps;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::{CiArgs, Format, Global};
use crate::error::{Error, Outcome, Result};
use crate::parts::{self, Parts};
use crate::process::Run;
use crate::progress::Progress;
use crate::report::Report;
use crate::say;
use crate::signals;
use crate::workspace::Workspace;

use steps::{Round, Step};

pub use steps::names;

/// Runs the verb.
///
/// # Errors
/// When an installation fails, or at the first step that does not pass.
pub fn run(workspace: &Workspace, args: &CiArgs, global: &Global) -> Result<Report> {
    signals::pass_on();
    let rounds = steps::wanted(args);
    if args.list {
        return Ok(listed(&rounds));
    }
    let mut times = Vec::new();
    let started = Instant::now();
    let install = !args.no_install && !args.quick;
    let parts = parts::provide(workspace, install, Progress::new(global.quiet))?;
    for left_out in &parts.left_out {
        say::note(&format!(
            "left out, since the part is not installed: {left_out}"
        ));
    }
    times.push(("parts", started.elapsed()));
    let mut failed = Vec::new();
    for round in &rounds {
        for ((name, arguments), time, passed) in
            self::round(workspace, &parts, round, global.format)
        {
            times.push((name, time));
            if let Err(error) = passed {
                if error.outcome == Outcome::Interrupted {
                    return Err(error);
                }
                let hint = format!("`cargo {}` runs {name} alone", arguments.join(" "));
                failed.push((name, error.message, hint));
            }
        }
        if !failed.is_empty() && !steps::goes_on(round) {
            break;
        }
    }
    if !failed.is_empty() {
        say::note(table(&times, started.elapsed()).trim_end());
        return Err(stopped(&failed));
    }
    let data = json!({
        "seconds": times.iter().map(|(name, time)| ((*name).to_owned(), json!(time.as_secs_f64()))).collect::<serde_json::Map<_, _>>(),
        "left_out": parts.left_out,
    });
    Ok(Report::new(
        "ci",
        data,
        format!("{}\nall passed", table(&times, started.elapsed())),
    ))
}

/// The steps, each with the command that runs it alone.
fn listed(rounds: &[Round]) -> Report {
    let steps = rounds.iter().flatten().flatten();
    let rows = steps.map(|(name, arguments)| (*name, format!("cargo {}", arguments.join(" "))));
    let rows: Vec<(&str, String)> = rows.collect();
    let text: Vec<String> = rows
        .iter()
        .map(|(name, command)| format!("{name:<12}  {command}"))
        .collect();
    let steps: Vec<_> = rows
        .iter()
        .map(|(name, command)| json!({"name": name, "command": command}))
        .collect();
    Report::new("ci", json!({"steps": steps}), text.join("\n"))
}

/// The error that names every step that failed, each with its message and the command that repeats it.
fn stopped(failed: &[(&str, String, String)]) -> Error {
    let list = |part: fn(&(&str, String, String)) -> String, by: &str| {
        failed.iter().map(part).collect::<Vec<_>>().join(by)
    };
    let names = list(|(name, _, _)| (*name).to_owned(), " and ");
    Error::findings(format!("`cargo xtask ci` stopped at {names}"))
        .because(list(|(_, message, _)| message.clone(), "\n"))
        .hint(list(|(_, _, hint)| hint.clone(), "; "))
}

/// A step, how long it took, and how it ended.
type Done = (Step, Duration, Result<()>);

/// Runs the lanes of a round side by side. A step that fails ends its lane.
fn round(workspace: &Workspace, parts: &Parts, lanes: &Round, format: Format) -> Vec<Done> {
    let run = |lane: &[Step], aside: bool| {
        let mut done: Vec<Done> = Vec::new();
        for &(name, arguments) in lane {
            let started = Instant::now();
            let passed = step(workspace, parts, name, arguments, format, aside);
            let goes_on = passed.is_ok();
            done.push(((name, arguments), started.elapsed(), passed));
            if !goes_on {
                break;
            }
        }
        done
    };
    std::thread::scope(|scope| {
        let beside = lanes.iter().skip(1);
        let beside: Vec<_> = beside.map(|lane| scope.spawn(|| run(lane, true))).collect();
        let mut done: Vec<Done> = lanes
            .iter()
            .take(1)
            .flat_map(|lane| run(lane, false))
            .collect();
        for lane in beside {
            done.extend(
                lane.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        done
    })
}

/// Runs one step; what a step `aside` prints comes out in one piece when it has ended.
fn step(
    workspace: &Workspace,
    parts: &Parts,
    name: &str,
    arguments: &[&str],
    format: Format,
    aside: bool,
) -> Result<()> {
    let header = format!("== {name}: cargo {}", arguments.join(" "));
    let mut run = Run::cargo().args(arguments).cwd(&workspace.root);
    if !parts.path.is_empty() {
        run = run.env("PATH", path_with(&parts.path)?);
    }
    if let Some(dir) = &parts.cloud_init {
        run = run.env("POLIS_CLOUD_INIT", dir);
    }
    if parts.left_out.is_empty() {
        run = run.env(parts::REQUIRE, "1");
    }
    if aside {
        let log = workspace.root.join("target/ci").join(format!("{name}.log"));
        say::note(&format!(
            "{header}\n   beside the others; it prints to {}",
            log.display()
        ));
        let passed = run.inherit_into(&log);
        let printed = fs::read(&log).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        say::note(&format!("== {name} printed:\n{printed}"));
        return passed;
    }
    say::note(&header);
    if format == Format::Json {
        run = run.stdout_to_stderr();
    }
    run.inherit()
}

fn path_with(dirs: &[PathBuf]) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(dirs.iter().cloned().chain(std::env::split_paths(&path)))
        .map_err(|error| Error::machine("PATH cannot be extended").because(error.to_string()))
}

/// Where the time went; steps that ran side by side count once in the `total`.
fn table(times: &[(&str, Duration)], total: Duration) -> String {
    let rows = times.iter().copied().chain([("total", total)]);
    rows.map(|(name, time)| format!("{name:<16} {:>7.1} s\n", time.as_secs_f64()))
        .collect()
}
