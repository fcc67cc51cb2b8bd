//! Measures each figure.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use super::tree;
use crate::tools::is_root;
use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::say;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;
use xtask_pins::pins_env::CLOUD_INIT;

/// The result of a measurement.
pub(super) enum Measured {
    /// The value, in the unit of the figure.
    Value(f64),
    /// The reason why it cannot be measured here.
    Skipped(&'static str),
}

/// The number of runs for a program that takes milliseconds.
const RUNS: usize = 50;
/// The number of runs for a program that takes longer.
const FEW: usize = 5;

/// A source file of the CLI, changed and restored to force a rebuild.
const CHANGED: &str = "cli/src/view.rs";

/// Builds what `args` of `cargo build` select.
pub(super) fn build(workspace: &Workspace, args: &[&str]) -> Result<()> {
    let run = Run::cargo().args(["build", "--quiet", "--locked"]);
    let run = run.args(args).cwd(&workspace.root);
    run.stdout_to_stderr().inherit()
}

fn polis(workspace: &Workspace) -> Result<PathBuf> {
    build(workspace, &["--release", "--package", "polis"])?;
    let name = format!("polis{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace.target.join("release").join(name))
}

/// The seconds that `program` takes, whatever its exit code.
fn seconds(program: &Run) -> Result<f64> {
    let started = Instant::now();
    program.output_of_any_exit()?;
    Ok(started.elapsed().as_secs_f64())
}

fn times(runs: usize, program: &Run) -> Result<Vec<f64>> {
    seconds(program)?; // fills the caches
    let mut times: Vec<f64> = (0..runs).map(|_| seconds(program)).collect::<Result<_>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn median(runs: usize, program: &Run) -> Result<f64> {
    Ok(times(runs, program)?[runs / 2])
}

pub(super) fn offline_build(workspace: &Workspace) -> Result<Measured> {
    let dir = tempfile::tempdir_in(&workspace.target)
        .map_err(|error| Error::io("create", &workspace.target, &error))?;
    let dir = dir.path().display().to_string();
    let started = Instant::now();
    build(workspace, &["--package", "xtask", "--target-dir", &dir])?;
    Ok(Measured::Value(started.elapsed().as_secs_f64()))
}

pub(super) fn polis_size(workspace: &Workspace) -> Result<Measured> {
    let path = polis(workspace)?;
    let metadata = fs::metadata(&path).map_err(|error| Error::io("read", &path, &error))?;
    let megabytes = metadata.len() as f64 / 1e6;
    Ok(Measured::Value(megabytes))
}

pub(super) fn polis_start(workspace: &Workspace) -> Result<Measured> {
    let version = Run::new(polis(workspace)?).arg("version");
    Ok(Measured::Value(median(RUNS, &version)? * 1e3))
}

pub(super) fn pins_growth(workspace: &Workspace) -> Result<Measured> {
    build(workspace, &["--package", "xtask"])?;
    let verify = workspace.target.join("debug/xtask");
    let fastest = |services: usize| {
        let dir = tree::of(workspace, services)?;
        let verify = Run::new(&verify).args(["verify-pins", "--offline", "--format", "json"]);
        let verify = verify.arg("--root").arg(dir.path());
        Ok::<_, Error>(times(FEW, &verify)?[0])
    };
    Ok(Measured::Value(fastest(8000)? / fastest(4000)?))
}

/// cloud-init >= 24, whose `schema` command validates: installed, or unpacked by `cargo xtask setup`.
fn cloud_init(workspace: &Workspace) -> Option<Run> {
    let unpacked = workspace.target.join("parts/cloud-init/unpacked");
    let program = unpacked.join("usr/bin/cloud-init");
    if program.exists() {
        let packages = unpacked.join("usr/lib/python3/dist-packages");
        let python = Run::new("/usr/bin/python3").arg(program);
        return Some(python.env("PYTHONPATH", packages));
    }
    installed("cloud-init").then(|| Run::new("cloud-init"))
}

pub(super) fn check_speed(workspace: &Workspace) -> Result<Measured> {
    let Some(theirs) = cloud_init(workspace) else {
        return Ok(Measured::Skipped("cloud-init is not installed"));
    };
    build(workspace, &["--package", "xtask-check"])?;
    let theirs = theirs.args(["schema", "--config-file", CLOUD_INIT]);
    let ours = Run::new(workspace.target.join("debug/xtask-check"));
    // If cloud-init is on `PATH`, `check` runs that, too.
    let ours = ours
        .args(["check", "--no-shell", CLOUD_INIT])
        .env("PATH", "");
    let median = |run: Run| median(FEW, &run.cwd(&workspace.root));
    Ok(Measured::Value(median(theirs)? / median(ours)?))
}

/// The benchmarks in `xtask/online/tests/it/bench.rs`, which have their own limits.
pub(super) fn online(workspace: &Workspace) -> Result<Measured> {
    if !["docker-registry", "skopeo", "openssl"]
        .into_iter()
        .all(installed)
    {
        return Ok(Measured::Skipped(
            "docker-registry, skopeo or openssl is not installed",
        ));
    }
    let test = ["test", "--quiet", "--locked", "--package", "xtask-online"];
    let only = [
        "--test",
        "it",
        "--",
        "--ignored",
        "--nocapture",
        "--test-threads",
        "1",
        "bench",
    ];
    let run = Run::cargo().args(test).args(only).cwd(&workspace.root);
    let failed = run.stdout_to_stderr().inherit_code()? != 0;
    Ok(Measured::Value(f64::from(u8::from(failed))))
}

/// The size of Docker's packages and of Sysbox in the measured start, in megabytes, as the benchmark's setting.
const PADDING: (&str, &str) = ("POLIS_PROOF_PADDING", "200,70");

/// The benchmark in `compose/proof/tests/pace`, whose last figure is the ratio.
pub(super) fn first_start(workspace: &Workspace) -> Result<Measured> {
    let programs = ["dockerd", "docker-registry", "skopeo"];
    if !is_root() || !programs.into_iter().all(installed) {
        return Ok(Measured::Skipped(
            "it needs root, dockerd, docker-registry and skopeo",
        ));
    }
    let test = ["test", "--quiet", "--locked", "--test", "pace", "--package"];
    let run = Run::cargo().args(test).arg("polis-stack-proof");
    let run = run.env(PADDING.0, PADDING.1).cwd(&workspace.root);
    let table = run.output()?;
    say::note(&table);
    ratio(&table).map(Measured::Value).ok_or_else(|| {
        Error::machine("the benchmark printed no ratio")
            .because("expected a line `total ...: RATIO`")
            .hint("cargo test --package polis-stack-proof --test pace")
    })
}

/// The ratio at the end of the line `total 175.9 s, the bytes alone 145.8 s: 1.21`.
fn ratio(table: &str) -> Option<f64> {
    let total = table.lines().find(|line| line.starts_with("total "))?;
    total.rsplit(": ").next()?.trim().parse().ok()
}

fn rehearse(workspace: &Workspace) -> Result<f64> {
    let run = Run::cargo().args(["xtask", "release", "--rehearse", "--quiet"]);
    let run = run.cwd(&workspace.root);
    let started = Instant::now();
    run.output()?;
    Ok(started.elapsed().as_secs_f64())
}

pub(super) fn rehearsal(workspace: &Workspace) -> Result<Measured> {
    rehearse(workspace)?;
    rehearse(workspace).map(Measured::Value)
}

pub(super) fn rehearsal_after_change(workspace: &Workspace) -> Result<Measured> {
    rehearse(workspace)?;
    let path = workspace.root.join(CHANGED);
    let text = workspace.read(CHANGED)?.text;
    write::atomically(&path, format!("{text}\n// one more line\n").as_bytes())?;
    let measured = rehearse(workspace);
    write::atomically(&path, text.as_bytes())?;
    measured.map(Measured::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_last_figure_of_the_total() {
        let table =
            "phase  seconds\ntotal 175.9 s, the bytes alone 145.8 s: 1.21\nlink: 50mbit, queue\n";
        assert_eq!(ratio(table), Some(1.21));
        assert_eq!(ratio("total: unknown"), None);
    }
}
