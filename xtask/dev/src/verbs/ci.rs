//! `ci`: everything that must pass, ordered so that the likeliest failures come first. People and CI run the same
//! command.

mod lock;
mod scratch;
mod slowest;
mod steps;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::tools::{self, Provided};
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::options::{Format, Global};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::reports::release as reports;
use xtask_host::say;
use xtask_host::signals;
use xtask_host::tools::{REQUIRE, installed};
use xtask_host::workspace::Workspace;

use steps::{Round, Selected, Step};

pub use steps::CiArgs;

/// Runs each test in its own process, as many in parallel as the profile in `.config/nextest.toml` allows. Without it,
/// `cargo test` runs one test program after the other.
const NEXTEST: &str = "cargo-nextest";

/// The report with the times of all tests, written by its profile `ci`.
const JUNIT: &str = "nextest/ci/junit.xml";

/// How many of the slowest tests to list.
const NAMED: usize = 10;

/// Runs the verb.
///
/// # Errors
/// If an installation or a step fails, or if a named step needs root.
pub fn run(workspace: &Workspace, args: &CiArgs, global: &Global) -> Result<Report> {
    signals::pass_on();
    let root = tools::is_root();
    let selected = steps::selected(args, installed(NEXTEST), root);
    if args.list {
        return Ok(listed(&selected));
    }
    let as_root = steps::named_as_root(args).join(",");
    if !as_root.is_empty() && !root {
        return Err(
            Error::machine(format!("only root can run the steps {as_root}"))
                .because("they start machines, containers and network namespaces")
                .hint(format!(
                    "`sudo env \"HOME=$HOME\" \"PATH=$PATH\" cargo xtask ci --only {as_root}`"
                )),
        );
    }
    reset_umask();
    // `--quick` only writes cargo's files, which cargo locks.
    let _lock = match args.quick {
        true => None,
        false => Some(lock::take(workspace)?),
    };
    let started = Instant::now();
    let scratch = scratch::in_memory();
    let runner = |tools| Runner {
        workspace,
        tools,
        scratch: scratch.as_ref().map(TempDir::path),
        format: global.format,
        has_built: selected.includes(&steps::BUILD),
    };
    let mut record = Record::default();
    let install = !args.no_install && !args.quick;
    let tools = std::thread::scope(|scope| {
        let tools = scope.spawn(|| {
            let tools = tools::provide(workspace, install, Progress::new(global.quiet));
            (tools, started.elapsed())
        });
        let passed = runner(None).rounds(&selected.without_tools, &mut record);
        let (tools, time) = tools
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        record.times.push(("tools", time));
        passed.and(tools)
    })?;
    for left_out in &tools.left_out {
        say::note(&format!(
            "skipped, because the tool is not installed: {left_out}"
        ));
    }
    if record.failed.is_empty() {
        runner(Some(&tools)).rounds(&selected.with_tools, &mut record)?;
    }
    let summary = summary(workspace, &record.times, started);
    if !record.failed.is_empty() {
        say::note(summary.trim_end());
        return Err(stopped(&record.failed));
    }
    let seconds = record.times.iter();
    let seconds = seconds.map(|(name, time)| ((*name).to_owned(), time.as_secs_f64()));
    let data = reports::Ci {
        seconds: seconds.collect(),
        left_out: tools.left_out.clone(),
    };
    Ok(Report::new("ci", data, format!("{summary}\nall passed")))
}

/// The steps, each with the command that runs it alone.
fn listed(selected: &Selected) -> Report {
    let rows: Vec<(&str, String)> = selected
        .steps()
        .map(|step| (step.name, step.command()))
        .collect();
    let text: Vec<String> = rows
        .iter()
        .map(|(name, command)| format!("{name:<12}  {command}"))
        .collect();
    let steps = rows.into_iter().map(|(name, command)| reports::CiStep {
        name: name.to_owned(),
        command,
    });
    let data = reports::CiSteps {
        steps: steps.collect(),
    };
    Report::new("ci", data, text.join("\n"))
}

/// A step that failed: its name, its message, and the command that repeats it.
type Failed = (&'static str, String, String);

/// How the steps ended so far.
#[derive(Default)]
struct Record {
    times: Vec<(&'static str, Duration)>,
    failed: Vec<Failed>,
}

/// The error that names every step that failed.
fn stopped(failed: &[Failed]) -> Error {
    let list = |part: fn(&Failed) -> String, by: &str| {
        failed.iter().map(part).collect::<Vec<_>>().join(by)
    };
    let names = list(|(name, _, _)| (*name).to_owned(), " and ");
    Error::findings(format!("`cargo xtask ci` failed at {names}"))
        .because(list(|(_, message, _)| message.clone(), "\n"))
        .hint(list(|(_, _, hint)| hint.clone(), "; "))
}

/// A step, its duration and its result.
type Done = (Step, Duration, Result<()>);

/// What all steps share.
struct Runner<'a> {
    workspace: &'a Workspace,
    /// The test tools, once they are installed.
    tools: Option<&'a Provided>,
    scratch: Option<&'a Path>,
    format: Format,
    /// Whether the run includes the step `build`, which comes before all that need its programs.
    has_built: bool,
}

impl Runner<'_> {
    /// Runs `rounds` one after the other. Without the test tools, the next ones depend on the first that fails.
    ///
    /// # Errors
    /// If the user interrupts a step.
    fn rounds(&self, rounds: &[Round], record: &mut Record) -> Result<()> {
        for round in rounds {
            for (step, time, passed) in self.round(round) {
                record.times.push((step.name, time));
                if let Err(error) = passed {
                    if error.outcome == Outcome::Interrupted {
                        return Err(error);
                    }
                    let hint = format!("`{}` runs {} alone", step.command(), step.name);
                    record.failed.push((step.name, error.message, hint));
                }
            }
            if self.tools.is_none() && !record.failed.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Runs the lanes of a round side by side.
    fn round(&self, lanes: &Round) -> Vec<Done> {
        std::thread::scope(|scope| {
            let beside = lanes.iter().skip(1);
            let beside: Vec<_> = beside
                .map(|lane| scope.spawn(|| self.lane(lane, true)))
                .collect();
            let first = lanes.first();
            let mut done = first.map_or_else(Vec::new, |lane| self.lane(lane, false));
            for lane in beside {
                done.extend(
                    lane.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                );
            }
            done
        })
    }

    fn lane(&self, lane: &[Step], aside: bool) -> Vec<Done> {
        let mut done: Vec<Done> = Vec::new();
        for &step in lane {
            let started = Instant::now();
            let passed = self.step(step, aside);
            let interrupted =
                matches!(&passed, Err(error) if error.outcome == Outcome::Interrupted);
            done.push((step, started.elapsed(), passed));
            if interrupted {
                break;
            }
        }
        done
    }

    /// Runs one step. The output of a step `aside` is printed in one piece at its end.
    fn step(&self, step: Step, aside: bool) -> Result<()> {
        let name = step.name;
        let header = format!("== {name}: {}", step.command());
        let mut run = self.command(step)?;
        if [steps::TEST.name, steps::RELEASES.name].contains(&name)
            && let Some(dir) = self.scratch
        {
            run = run.env("TMPDIR", dir);
        }
        if aside {
            let log = self
                .workspace
                .root
                .join("target/ci")
                .join(format!("{name}.log"));
            say::note(&format!(
                "{header}\n   in parallel; output in {}",
                log.display()
            ));
            let passed = run.in_background().inherit_into(&log);
            let printed = fs::read(&log).unwrap_or_default();
            let printed = String::from_utf8_lossy(&printed);
            say::note(&format!("== {name} printed:\n{printed}"));
            return passed;
        }
        say::note(&header);
        if self.format == Format::Json {
            run = run.stdout_to_stderr();
        }
        run.inherit()
    }

    /// The command of a step, with the tools that tests use. Tests compare output, so the language is English.
    fn command(&self, step: Step) -> Result<Run> {
        let run = match self.built(step.name) {
            Some(program) => Run::new(program).args(step.arguments().skip(1)),
            None => Run::cargo().args(step.arguments()),
        };
        let mut run = run
            .cwd(&self.workspace.root)
            .env_remove("LC_*")
            .env_remove("LANGUAGE")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC0");
        let Some(tools) = self.tools else {
            return Ok(run);
        };
        if !tools.path.is_empty() {
            run = run.env("PATH", path_with(&tools.path)?);
        }
        if let Some(dir) = &tools.cloud_init {
            run = run.env("POLIS_CLOUD_INIT", dir);
        }
        if tools.left_out.is_empty() {
            run = run.env(REQUIRE, "1");
        }
        Ok(run)
    }

    /// The program of `check`, if this run has built it. `cargo xtask check` would compile it again, with the features
    /// of that one package.
    fn built(&self, name: &str) -> Option<PathBuf> {
        let file = format!("xtask-check{}", std::env::consts::EXE_SUFFIX);
        let program = self.workspace.target.join("debug").join(file);
        (name == steps::CHECK.name && self.has_built && program.exists()).then_some(program)
    }
}

/// Resets the umask, because tests expect certain modes of the files that they write.
fn reset_umask() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
}

fn path_with(dirs: &[PathBuf]) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(dirs.iter().cloned().chain(std::env::split_paths(&path)))
        .map_err(|error| Error::machine("PATH cannot be extended").because(error.to_string()))
}

/// The duration of each step, and the slowest tests.
fn summary(workspace: &Workspace, times: &[(&str, Duration)], started: Instant) -> String {
    let mut text = table(times, started.elapsed());
    let path = workspace.target.join(JUNIT);
    let is_new = fs::metadata(&path)
        .and_then(|report| report.modified())
        .is_ok_and(|written| written.elapsed().is_ok_and(|age| age < started.elapsed()));
    if is_new && let Ok(report) = fs::read_to_string(&path) {
        text.push_str("slowest tests\n");
        text.push_str(&slowest::listed(&slowest::slowest(&report, NAMED)));
    }
    text
}

/// The duration of each step. Steps that ran in parallel count only once in `total`.
fn table(times: &[(&str, Duration)], total: Duration) -> String {
    let rows = times.iter().copied().chain([("total", total)]);
    rows.map(|(name, time)| format!("{name:<16} {:>7.1} s\n", time.as_secs_f64()))
        .collect()
}
