//! `ci`: everything that must pass, in the order in which it fails fastest; the test command of
//! this project, for people and for machines.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::{CiArgs, Format, Global};
use crate::error::{Error, Result};
use crate::parts::{self, Parts};
use crate::process::Run;
use crate::progress::Progress;
use crate::report::Report;
use crate::workspace::Workspace;

/// The steps after the parts: a name, and cargo's arguments.
const STEPS: [(&str, &[&str]); 6] = [
    ("format", &["fmt", "--all", "--check"]),
    (
        "lint",
        &[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ),
    ("pins", &["xtask", "verify-pins", "--offline"]),
    ("check", &["xtask", "check"]),
    ("test", &["test", "--locked", "--workspace"]),
    // By itself, with the cores for itself and its time seen. Of the whole workspace, so that nothing is built with other
    // features.
    (
        "stack",
        &["test", "--locked", "--workspace", "--test", "stack"],
    ),
];

/// Runs the verb.
///
/// # Errors
/// When an installation fails, or at the first step that does not pass.
pub fn run(workspace: &Workspace, args: &CiArgs, global: &Global) -> Result<Report> {
    let mut times = Vec::new();
    let started = Instant::now();
    let parts = parts::provide(workspace, !args.no_install, Progress::new(global.quiet))?;
    for left_out in &parts.left_out {
        eprintln!("left out, since the part is not installed: {left_out}");
    }
    times.push(("parts", started.elapsed()));
    for (name, arguments) in STEPS {
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        let started = Instant::now();
        let passed = step(workspace, &parts, arguments, global.format);
        times.push((name, started.elapsed()));
        if let Err(error) = passed {
            eprintln!("{}", table(&times));
            return Err(
                Error::findings(format!("`cargo xtask ci` stopped at {name}"))
                    .because(error.message)
                    .hint(format!(
                        "mend it; `cargo {}` runs this step alone",
                        arguments.join(" ")
                    )),
            );
        }
    }
    let data = json!({
        "seconds": times.iter().map(|(name, time)| ((*name).to_owned(), json!(time.as_secs_f64()))).collect::<serde_json::Map<_, _>>(),
        "left_out": parts.left_out,
    });
    Ok(Report::new(
        "ci",
        data,
        format!("{}\nall passed", table(&times)),
    ))
}

fn step(workspace: &Workspace, parts: &Parts, arguments: &[&str], format: Format) -> Result<()> {
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

/// Where the time went.
fn table(times: &[(&str, Duration)]) -> String {
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    let rows = times.iter().copied().chain([("total", total)]);
    rows.map(|(name, time)| format!("{name:<8} {:>7.1} s\n", time.as_secs_f64()))
        .collect()
}
