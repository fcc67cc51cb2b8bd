//! Emulates a run of `provision.sh`: its log, its report and its marker, according to the clock.
//!
//! The script itself never runs here, since it would provision this machine; `cloud-init/proof` runs it. The files have the
//! format that `cloud-init/cloud-init.yaml` defines; the digests in the marker are those of the guest's files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::LazyLock;

use polis_base::Digest;
use serde_json::json;

use super::files::{now, replace};
use super::state::{Instance, Provision};
use crate::guest::Guest;
use crate::guest::user_data::{SCRIPT, USER_DATA};

/// The steps of this tree's script, in order.
static STEPS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../cloud-init/cloud-init.yaml"
    ));
    let (_, list) = text.split_once("readonly STEPS=(").unwrap_or_default();
    let (list, _) = list.split_once(')').unwrap_or_default();
    list.split_whitespace().collect()
});
/// The script's `WRITTEN_FILES`.
const WRITTEN: [&str; 6] = [
    "/etc/polis/pins.env",
    "/etc/docker/daemon.json",
    "/etc/sysctl.d/99-polis-hardening.conf",
    "/etc/audit/rules.d/docker.rules",
    "/etc/systemd/system/polis.service",
    SCRIPT,
];
const LOG: &str = "/var/log/polis-provision.log";
const REPORT: &str = "/var/lib/polis/provision.json";
const MARKER: &str = "/var/lib/polis/provisioned.json";

/// The run in progress.
pub(crate) fn under_way(instance: &Instance) -> Option<&Provision> {
    let run = instance.provision.as_ref();
    run.filter(|_| instance.provisioning(now()))
}

/// The result of each step of a run.
fn steps(run: &Provision) -> Vec<(&'static str, &'static str)> {
    let failing = run.fails.as_ref().map(|(step, _)| step.as_str());
    let last = STEPS.iter().position(|step| Some(*step) == failing);
    let state = |at| match last {
        Some(last) if at == last => "failed",
        Some(last) if at > last => "pending",
        _ => "done",
    };
    let steps = STEPS.iter().enumerate();
    steps.map(|(at, step)| (*step, state(at))).collect()
}

/// Every line of a run's log, with its time in milliseconds. Steps that are not pending share the time equally.
fn transcript(run: &Provision) -> Vec<(u64, String)> {
    let share = run.takes / STEPS.len() as u64;
    let mut lines = Vec::new();
    let mut end = 0;
    for (step, state) in steps(run) {
        if state == "pending" {
            continue;
        }
        lines.push((end, format!("step {step} start 0")));
        end += share;
        if let ("failed", Some((_, message))) = (state, &run.fails) {
            lines.push((end, format!("error: {message}")));
        }
        lines.push((end, format!("step {step} {state} {}", share / 1000)));
    }
    for (step, state) in steps(run) {
        let seconds = if state == "pending" { 0 } else { share / 1000 };
        lines.push((end, format!("time {step:<14} {state:<8} {seconds:>5}")));
    }
    let total = end / 1000;
    lines.push((end, format!("time {:<14} {:<8} {total:>5}", "total", "")));
    if let Some((step, message)) = &run.fails {
        let text =
            format!("failed in step {step}: {message} (exit code 1; the whole log is {LOG})");
        lines.push((end, text));
    }
    let named = |(at, text)| (at, format!("polis-provision: {text}"));
    lines.into_iter().map(named).collect()
}

/// Updates the guest's files to the progress of the run at `now`.
pub(crate) fn advance(guest: &Guest, instance: &mut Instance, now: u64) -> io::Result<()> {
    if !instance.provisioning(now) {
        return Ok(());
    }
    let Some(run) = &mut instance.provision else {
        return Ok(());
    };
    if run.told == 0 {
        fs::create_dir_all(guest.path("/var/lib/polis"))?;
        for path in [REPORT, MARKER] {
            guest.remove_file(path)?;
        }
    }
    let lines = transcript(run);
    let passed = now - run.starts_at;
    let due = lines.iter().take_while(|(at, _)| *at <= passed).count();
    let log = guest.path(LOG);
    let mut log = File::options().append(true).create(true).open(log)?;
    for (_, line) in &lines[run.told.min(due)..due] {
        instance.docker |= line.contains("step docker-engine done");
        writeln!(log, "{line}")?;
    }
    run.told = due.max(run.told);
    if due == lines.len() {
        run.ended = true;
        report(guest, run, &lines)?;
        if run.first {
            instance.cloud_init_failed = run.fails.is_some();
            guest.put("/var/lib/cloud/instance/boot-finished", b"")?;
        }
    }
    Ok(())
}

/// Writes the report and, after success, the marker.
fn report(guest: &Guest, run: &Provision, lines: &[(u64, String)]) -> io::Result<()> {
    let user_data = Digest::of(&fs::read(guest.path(USER_DATA))?).hex();
    let fails = run.fails.as_ref();
    let (step, message) = fails.map_or(("ready", ""), |(step, message)| (step, message));
    let steps = steps(run).into_iter();
    let steps: Vec<_> = steps
        .map(|(name, state)| json!({ "name": name, "state": state, "seconds": 0 }))
        .collect();
    let tail = lines[lines.len().saturating_sub(30)..].iter();
    let report = json!({
        "status": if fails.is_some() { "failed" } else { "done" },
        "step": step,
        "exit_code": u8::from(fails.is_some()),
        "message": message,
        "user_data_sha256": user_data,
        "seconds": run.takes / 1000,
        "steps": steps,
        "log_tail": tail.map(|(_, line)| line).collect::<Vec<_>>(),
    });
    replace(&guest.path(REPORT), format!("{report:#}\n").as_bytes())?;
    if fails.is_some() {
        return Ok(());
    }
    fs::create_dir_all(guest.path("/opt/polis"))?;
    let mut files = BTreeMap::new();
    for path in WRITTEN {
        files.insert(path, Digest::of(&fs::read(guest.path(path))?).hex());
    }
    let marker = json!({ "user_data_sha256": user_data, "files": files });
    replace(&guest.path(MARKER), format!("{marker:#}\n").as_bytes())
}
