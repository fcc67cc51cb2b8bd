//! Plays `provision.sh`: its log, its report and its marker, as far as the clock says that it got.
//!
//! The script itself is never run, since it would provision this machine. What it leaves behind is in the form that
//! `cloud-init/cloud-init.yaml` defines; the digests in the marker are those of the files in the guest.

use std::fs::{self, File};
use std::io::{self, Write};

use super::user_data::SCRIPT;
use super::{Guest, report};
use crate::fault::{self, Effect};
use crate::process;
use crate::world::now;
use crate::world::state::{Instance, Provision};

/// The steps, in order.
pub const STEPS: [&str; 7] = [
    "docker-repo",
    "docker-engine",
    "sysbox",
    "yq",
    "hardening",
    "polis-unit",
    "ready",
];

const LOG: &str = "/var/log/polis-provision.log";
const OUTPUT: &str = "/var/log/cloud-init-output.log";
pub(super) const REPORT: &str = "/var/lib/polis/provision.json";
pub(super) const MARKER: &str = "/var/lib/polis/provisioned.json";

/// How one step ends, or where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) state: &'static str,
    /// Milliseconds after the start of the run.
    starts: u64,
    ends: u64,
}

impl Step {
    pub(super) fn seconds(self) -> u64 {
        (self.ends - self.starts) / 1000
    }
}

/// What becomes of each step, known from the start.
pub(super) fn steps(run: &Provision) -> Vec<Step> {
    let had = |name: &str| run.had.iter().any(|step| step == name);
    let missing = STEPS.iter().filter(|name| !had(name)).count() as u64;
    let share = run.takes / missing.max(1);
    let mut at = 0;
    let mut failed = false;
    let mut steps = Vec::new();
    for name in STEPS {
        let fails = run.fails.as_ref().is_some_and(|(step, _)| step == name);
        let (state, takes) = match () {
            () if failed => ("pending", 0),
            () if had(name) && !fails => ("skipped", 0),
            () if fails => ("failed", share),
            () => ("done", share),
        };
        failed |= fails;
        steps.push(Step {
            name,
            state,
            starts: at,
            ends: at + takes,
        });
        at += takes;
    }
    steps
}

/// Every line of a run's log with the time when it is written.
fn transcript(run: &Provision) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    let mut say = |at: u64, text: String| lines.push((at, format!("polis-provision: {text}")));
    let steps = steps(run);
    for step in &steps {
        match step.state {
            "pending" => continue,
            "skipped" => say(step.starts, format!("step {} skipped 0", step.name)),
            state => {
                say(step.starts, format!("step {} start 0", step.name));
                if let ("failed", Some((_, message))) = (state, &run.fails) {
                    say(step.ends, format!("error: {message}"));
                }
                say(
                    step.ends,
                    format!("step {} {state} {}", step.name, step.seconds()),
                );
            }
        }
    }
    let end = steps.iter().map(|step| step.ends).max().unwrap_or(0);
    for step in &steps {
        let seconds = step.seconds();
        say(
            end,
            format!("time {:<14} {:<8} {seconds:>5}", step.name, step.state),
        );
    }
    let total = end / 1000;
    say(end, format!("time {:<14} {:<8} {total:>5}", "total", ""));
    if let Some((step, message)) = &run.fails {
        say(
            end,
            format!("failed in step {step}: {message} (exit code 1; the whole log is {LOG})"),
        );
    }
    lines
}

/// Brings the guest's files to where the run is at `now`.
///
/// # Errors
/// When the guest cannot be written.
pub(crate) fn advance(guest: &Guest, instance: &mut Instance, now: u64) -> io::Result<()> {
    let running = instance.provisioning(now);
    let (docker, failed) = (&mut instance.docker, &mut instance.cloud_init_failed);
    let Some(run) = instance.provision.as_mut().filter(|_| running) else {
        return Ok(());
    };
    if run.by.is_some_and(|pid| !process::alive(pid)) {
        run.ended = true;
        return Ok(());
    }
    if run.told == 0 {
        begin(guest, run)?;
    }
    let passed = now - run.starts_at;
    let lines = transcript(run);
    let due = lines.iter().take_while(|(at, _)| *at <= passed).count();
    for (_, line) in &lines[run.told.min(due)..due] {
        append(guest, LOG, line)?;
        if run.first {
            append(guest, OUTPUT, line)?;
        }
    }
    run.told = due.max(run.told);
    let over = |step: &&Step| matches!(step.state, "done" | "skipped") && step.ends <= passed;
    for step in steps(run).iter().filter(over) {
        if step.name == "docker-engine" {
            *docker = true;
        }
        if step.name == "polis-unit" {
            fs::create_dir_all(guest.path("/opt/polis"))?;
        }
    }
    if due == lines.len() {
        finish(guest, run, failed)?;
    }
    Ok(())
}

fn begin(guest: &Guest, run: &mut Provision) -> io::Result<()> {
    fs::create_dir_all(guest.path("/var/lib/polis"))?;
    run.log_offset = fs::metadata(guest.path(LOG)).map_or(0, |meta| meta.len());
    for path in [REPORT, MARKER] {
        remove(guest, path)?;
    }
    Ok(())
}

fn remove(guest: &Guest, path: &str) -> io::Result<()> {
    match fs::remove_file(guest.path(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn append(guest: &Guest, path: &str, line: &str) -> io::Result<()> {
    let path = guest.path(path);
    let mut file = File::options().append(true).create(true).open(path)?;
    writeln!(file, "{line}")
}

fn finish(guest: &Guest, run: &mut Provision, failed: &mut bool) -> io::Result<()> {
    run.ended = true;
    let log = fs::read(guest.path(LOG))?;
    let offset = usize::try_from(run.log_offset).unwrap_or(usize::MAX);
    let log = String::from_utf8_lossy(log.get(offset..).unwrap_or_default()).into_owned();
    report::write(guest, run, &log)?;
    if run.first {
        *failed = run.fails.is_some();
        let finished = guest.path("/var/lib/cloud/instance/boot-finished");
        fs::write(finished, "Cloud-init v. 25.1 finished\n")?;
    }
    Ok(())
}

/// Where `program` is the script: plays it, and returns its exit code.
///
/// # Errors
/// When the world cannot be read or written.
pub(super) fn run_as_program(guest: &Guest, program: &str) -> io::Result<Option<u8>> {
    let script = guest.path(SCRIPT);
    if std::path::Path::new(program) != script || !script.is_file() {
        return Ok(None);
    }
    let effects = fault::take(&guest.store, "provision.sh", &[])?;
    let fails = effects.into_iter().find_map(|effect| match effect {
        Effect::StepFails(step, message) => Some((step, message)),
        _ => None,
    });
    let started = guest.store.update(|state| {
        let takes = state.timing.provision;
        let instance = state.find_mut(&guest.name)?;
        if instance.provisioning(now()) {
            return None;
        }
        instance.provision = Some(Provision {
            starts_at: now(),
            takes,
            fails,
            had: done_before(guest, instance.provision.as_ref()),
            told: 0,
            by: Some(std::process::id()),
            log_offset: 0,
            ended: false,
            first: false,
        });
        Some(())
    })?;
    if started.is_none() {
        eprintln!("polis-provision: another run is under way");
        return Ok(Some(75));
    }
    loop {
        let run = guest
            .store
            .look()?
            .find(&guest.name)
            .and_then(|instance| instance.provision.clone());
        match run {
            Some(run) if !run.ended => std::thread::sleep(process::TICK),
            Some(run) => {
                for (_, line) in transcript(&run) {
                    let _nobody_reads = writeln!(io::stdout(), "{line}");
                }
                return Ok(Some(u8::from(run.fails.is_some())));
            }
            None => return Ok(Some(1)),
        }
    }
}

/// The steps whose end state the last run left behind.
fn done_before(guest: &Guest, last: Option<&Provision>) -> Vec<String> {
    let Some(last) = last else { return Vec::new() };
    let reached: Vec<String> = transcript(last)
        .into_iter()
        .take(last.told)
        .map(|(_, line)| line)
        .collect();
    let there = |step: &Step| match step.name {
        "ready" => guest.path(MARKER).is_file(),
        name => {
            let done = format!("polis-provision: step {name} {} ", step.state);
            matches!(step.state, "done" | "skipped")
                && reached.iter().any(|line| line.starts_with(&done))
        }
    };
    steps(last)
        .iter()
        .filter(|step| there(step))
        .map(|step| step.name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fails: Option<(&str, &str)>, had: &[&str]) -> Provision {
        Provision {
            starts_at: 0,
            takes: 7000,
            fails: fails.map(|(step, message)| (step.to_owned(), message.to_owned())),
            had: had.iter().map(|&step| step.to_owned()).collect(),
            told: 0,
            by: None,
            log_offset: 0,
            ended: false,
            first: true,
        }
    }

    #[test]
    fn a_failed_step_ends_the_run_and_leaves_the_rest_pending() {
        let run = run(Some(("sysbox", "no")), &["docker-repo"]);
        let states: Vec<&str> = steps(&run).iter().map(|step| step.state).collect();
        let expected = [
            "skipped", "done", "failed", "pending", "pending", "pending", "pending",
        ];
        assert_eq!(states, expected);
    }

    #[test]
    fn steps_share_the_time_and_say_when_they_end() {
        let lines = transcript(&run(None, &[]));
        assert_eq!(
            lines[0],
            (0, "polis-provision: step docker-repo start 0".to_owned())
        );
        assert_eq!(
            lines[1],
            (1000, "polis-provision: step docker-repo done 1".to_owned())
        );
        let last = lines.last().cloned();
        assert_eq!(
            last,
            Some((
                7000,
                "polis-provision: time total                       7".to_owned()
            ))
        );
    }
}
