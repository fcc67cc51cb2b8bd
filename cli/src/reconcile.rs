//! Executes a plan: each step by the calls that it names, each with its end to wait for.
//!
//! Nothing is decided here but whether a step has ended, well or not. A run that is killed anywhere
//! leaves a world that the next run looks at anew.

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::probe::{Condition, Guest, Provisioning, Service};
use crate::guest::provision::{LOG, Progress, REPORT, Report};
use crate::guest::{self, Job};
use crate::multipass::call::Call;
use crate::multipass::refusal::{self, Refusal};
use crate::multipass::state::{State, parse_list};
use crate::multipass::{GUEST_FAILED, Multipass, failed, interrupted};
use crate::plan::{Step, Wish};
use crate::process::{self, Output};
use crate::view::View;

/// How often the guest is asked how far it is while a launch runs.
const GLANCE: Duration = Duration::from_secs(3);
/// How long a VM may take to run once it was started.
const BOOT: Duration = Duration::from_secs(300);

/// Executes plans.
#[derive(Debug)]
pub(crate) struct Reconciler<'a> {
    multipass: &'a Multipass<'a>,
    wish: &'a Wish,
    limits: Limits,
    view: View,
    launched: bool,
    /// What was done, with the time it took.
    pub(crate) did: Vec<(&'static str, Duration)>,
    /// The guest when it was last looked at.
    pub(crate) seen: Option<Guest>,
}

/// How long things may take.
#[derive(Debug)]
struct Limits {
    /// The end of the launch and the provisioning.
    provisioned: Instant,
    /// How much longer than its own time a call may take to say how it ended.
    answer: Duration,
    pull: Duration,
    health: Duration,
}

/// Waits between two questions: short at first, so that what is quick is quick.
#[derive(Debug)]
struct Pace {
    pause: Duration,
    end: Instant,
}

impl Pace {
    fn until(end: Instant) -> Self {
        let pause = Duration::from_millis(200);
        Self { pause, end }
    }

    /// Waits; false when the time is over.
    fn wait(&mut self) -> Result<bool> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        process::pause(self.pause.min(left)).map_err(|_| interrupted())?;
        self.pause = (self.pause * 3 / 2).min(Duration::from_secs(3));
        Ok(true)
    }
}

impl<'a> Reconciler<'a> {
    /// Nothing done yet.
    pub(crate) fn new(context: &Context, multipass: &'a Multipass<'a>, wish: &'a Wish) -> Self {
        let settings = &context.settings;
        Self {
            multipass,
            wish,
            limits: Limits {
                provisioned: Instant::now() + settings.time("timeout"),
                answer: settings.time("call-timeout"),
                pull: settings.time("pull-timeout"),
                health: settings.time("health-timeout"),
            },
            view: View::new(context.output, context.verbose),
            launched: false,
            did: Vec::new(),
            seen: None,
        }
    }

    /// Executes `steps` in order; true when what is has to be looked at again.
    ///
    /// # Errors
    /// The first step that fails; what was done stays.
    pub(crate) fn run(&mut self, steps: &[Step]) -> Result<bool> {
        for step in steps {
            if matches!(step, Step::LookAgain) {
                return Ok(true);
            }
            self.view.step(step.title());
            let call = || step.calls().first().map(Call::to_text).unwrap_or_default();
            self.step(step).map_err(|error| error.while_at(call))?;
            let took = self.view.done();
            self.did.push((step.name(), took));
        }
        Ok(false)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Launch(call) => self.launch(call),
            Step::StartMachine(call) => self.start_machine(call),
            Step::AwaitMachine(call) => self.await_machine(call, Instant::now() + BOOT),
            Step::Reprovision(call) => {
                // The VM's own limits add up to more than a launch may take; a second run has them
                // to itself.
                self.limits.provisioned = self.limits.provisioned.max(Instant::now() + BOOT);
                self.succeed(call, Kind::Provisioning)
            }
            Step::AwaitProvisioning(call) => self.await_provisioning(call),
            Step::InstallBundle(calls) | Step::InstallAgent(calls) => self.install(calls),
            Step::MakeSecrets(call) | Step::MarkReady(call) => self.succeed(call, Kind::Unexpected),
            Step::Pull(job) => self.pull(job),
            Step::Up(job) => self.up(job),
            Step::AwaitHealth(call) => self.await_health(call),
            Step::LookAgain => Ok(()),
        }
    }

    fn succeed(&self, call: &Call, kind: Kind) -> Result<()> {
        self.multipass.call(call, kind).map(drop)
    }

    // ---- the VM ----

    fn launch(&mut self, call: &Call) -> Result<()> {
        self.launched = true;
        let output = self.watch_launch(call)?;
        if output.code == Some(0) {
            // Which says only that cloud-init has ended.
            return Ok(());
        }
        match refusal::of(output.code, &output.stderr) {
            // The VM is there and goes on.
            Refusal::InitTimeout => Ok(()),
            Refusal::ClientTimeout => {
                self.await_machine(&crate::multipass::list_call(), self.limits.provisioned)
            }
            // An earlier launch was cut off, and the daemon went on with it.
            Refusal::BeingPrepared | Refusal::Exists => {
                self.view.detail("an earlier launch is still at work");
                self.await_machine(&crate::multipass::list_call(), self.limits.provisioned)
            }
            Refusal::Deleted => Err(refusal::deleted()),
            _ => Err(failed(call, &output, Kind::Machine)),
        }
    }

    /// Waits for the end of a launch, and meanwhile shows how far the guest is.
    fn watch_launch(&mut self, call: &Call) -> Result<Output> {
        let mut running = self.multipass.start(call)?;
        let end = self.limits.provisioned + self.limits.answer;
        loop {
            let polled = running.poll(GLANCE);
            if let Some(output) = polled.map_err(|failure| self.multipass.failure(call, failure))? {
                return Ok(output);
            }
            if Instant::now() >= end {
                return Err(out_of_time("Multipass's launch does not end").tried(call.to_text()));
            }
            let said = refusal::plain(&running.stdout_so_far());
            let said = said.lines().last().unwrap_or_default().trim().to_owned();
            if !self.show_progress() {
                self.view
                    .detail(said.trim_start_matches(['|', '/', '-', '\\', ' ']));
            }
        }
    }

    /// Shows how far the provisioning is; false when it cannot be seen yet. A failure to see is no
    /// failure of what is watched.
    fn show_progress(&mut self) -> bool {
        if !matches!(self.multipass.state(), Ok(Some(State::Running))) {
            return false;
        }
        let Ok(output) = self.multipass.output(&guest::progress(), None) else {
            return false;
        };
        let progress = Progress::parse(&output.stdout);
        self.view.provisioning(&progress);
        !progress.steps.is_empty()
    }

    fn start_machine(&mut self, call: &Call) -> Result<()> {
        let output = self
            .multipass
            .output(call, Some(BOOT + self.limits.answer))?;
        match refusal::of(output.code, &output.stderr) {
            _ if output.code == Some(0) => Ok(()),
            Refusal::Deleted => Err(refusal::deleted()),
            Refusal::ClientTimeout => Err(out_of_time("the VM does not start")
                .tried(call.to_text())
                .next(crate::platform::UNREACHABLE_VM)),
            _ => Err(failed(call, &output, Kind::Machine)),
        }
    }

    fn await_machine(&mut self, call: &Call, end: Instant) -> Result<()> {
        let mut pace = Pace::until(end);
        loop {
            let state = parse_list(&self.multipass.call(call, Kind::Machine)?)?;
            match &state {
                Some(State::Running | State::Stopped | State::Suspended) => return Ok(()),
                Some(State::Deleted) => return Err(refusal::deleted()),
                Some(state) => self.view.detail(state.word()),
                None => self.view.detail("not there yet"),
            }
            if !pace.wait()? {
                let word = state.as_ref().map_or("not there", State::word);
                return Err(out_of_time("the VM does not run").because(format!("it is {word}")));
            }
        }
    }

    // ---- the provisioning ----

    fn await_provisioning(&mut self, call: &Call) -> Result<()> {
        let mut pace = Pace::until(self.limits.provisioned);
        loop {
            if let Some(guest) = self.probe(call)? {
                match guest.provisioning() {
                    Provisioning::Done => return self.check_marker(&guest),
                    Provisioning::Failed => return Err(self.provisioning_failed()),
                    Provisioning::Never => return Err(never()),
                    Provisioning::Running => {}
                }
            }
            self.show_progress();
            if !pace.wait()? {
                return Err(self.not_provisioned_in_time());
            }
        }
    }

    /// Looks at the guest; none when it does not answer just now, which happens around a boot.
    fn probe(&self, call: &Call) -> Result<Option<Guest>> {
        let output = self.multipass.output(call, None)?;
        if output.code == Some(0) {
            return Guest::parse(&output.stdout).map(Some);
        }
        match refusal::of(output.code, &output.stderr) {
            Refusal::SshFailed => Ok(None),
            _ => Err(failed(call, &output, Kind::Unexpected)),
        }
    }

    /// A VM that this run launched must have been provisioned by what this run sent.
    fn check_marker(&self, guest: &Guest) -> Result<()> {
        if self.launched && self.wish.marker.is_some() && guest.marker != self.wish.marker {
            return Err(Error::new(
                Kind::Provisioning,
                "the VM was provisioned by other user-data than was sent",
            )
            .because("the digests in its marker are not those of the files that polis carries")
            .next("polis delete --purge, then: polis start"));
        }
        Ok(())
    }

    fn provisioning_failed(&self) -> Box<Error> {
        let report = self.multipass.read(REPORT).and_then(|text| {
            serde_json::from_str::<Report>(&text).map_err(|error| {
                Error::new(Kind::Unexpected, "the report of the provisioning is broken")
                    .because(error.to_string())
            })
        });
        match report {
            Ok(report) => {
                let mut error = Error::new(
                    Kind::Provisioning,
                    format!(
                        "the provisioning of the VM failed in its step `{}`",
                        report.step
                    ),
                )
                .because(format!(
                    "{} (exit code {})",
                    report.message, report.exit_code
                ))
                .log(report.log_tail)
                .next("polis start   (provisions again; what is done is skipped)")
                .next(format!("polis exec --vm -- sudo less {LOG}"));
                error.step = Some(report.step);
                error
            }
            Err(cause) => Error::new(Kind::Provisioning, "the provisioning of the VM failed")
                .because(format!("its report cannot be read: {}", cause.message))
                .next("polis start   (provisions again; what is done is skipped)"),
        }
    }

    fn not_provisioned_in_time(&self) -> Box<Error> {
        let progress = self.multipass.output(&guest::progress(), None);
        let progress = Progress::parse(&progress.map(|output| output.stdout).unwrap_or_default());
        let mut error = out_of_time("the VM is still being provisioned");
        if let Some(step) = progress.current() {
            error = error.because(format!("it is in the step `{step}`"));
            error.step = Some(step.to_owned());
        }
        error.log(Some(progress.last_line).filter(|line| !line.is_empty()))
    }

    // ---- bundle, images, services ----

    /// Transfers an archive and has it put in its place; once more when it arrived damaged.
    fn install(&mut self, [transfer, install]: &[Call; 2]) -> Result<()> {
        for _ in 0..2 {
            let output = self
                .multipass
                .output(transfer, Some(Duration::from_secs(600)))?;
            if output.code != Some(0) {
                return Err(failed(transfer, &output, Kind::Transfer));
            }
            let output = self.multipass.output(install, None)?;
            match output.code {
                Some(0) => return Ok(()),
                Some(guest::DAMAGED) => self.view.detail("it arrived damaged; again"),
                _ => return Err(failed(install, &output, Kind::Transfer)),
            }
        }
        Err(Error::new(
            Kind::Transfer,
            "what was transferred arrived damaged, twice",
        )
        .because("its SHA-256 in the VM is not the one that was sent")
        .tried(transfer.to_text())
        .next("polis start"))
    }

    fn pull(&mut self, job: &Job) -> Result<()> {
        let error = match self.job(job, self.limits.pull)? {
            Ended::Well => return Ok(()),
            Ended::Late(log) => Error::new(Kind::TimedOut, "the images are still being pulled")
                .log(log)
                .next("polis start   (goes on where it stopped)")
                .next("POLIS_PULL_TIMEOUT=3600 polis start   (waits longer)"),
            Ended::Badly(code, log) => {
                let cause = cause_of_pull(&log).unwrap_or(format!("the pull ended with {code}"));
                Error::new(
                    Kind::Pull,
                    "an image could not be pulled, in several attempts",
                )
                .because(cause)
                .log(log)
                .next("polis start")
                .next("polis doctor   (tells whether the registry is reachable)")
            }
        };
        Err(error.tried(job.start.to_text()))
    }

    fn up(&mut self, job: &Job) -> Result<()> {
        let (cause, log) = match self.job(job, self.limits.health)? {
            Ended::Well => return Ok(()),
            Ended::Late(log) => ("they are still being started".to_owned(), log),
            Ended::Badly(code, log) => {
                let ended = format!("docker compose ended with {code}");
                (log.last().cloned().unwrap_or(ended), log)
            }
        };
        // Which service it is, the services themselves tell best.
        if let Some(guest) = self.probe(&guest::probe())?
            && let Some(service) = worst(&guest)
        {
            return Err(self.unhealthy(service));
        }
        Err(
            Error::new(Kind::Unhealthy, "the services could not be started")
                .because(cause)
                .tried(job.start.to_text())
                .log(log)
                .next("polis start")
                .next("polis status"),
        )
    }

    fn await_health(&mut self, call: &Call) -> Result<()> {
        let mut pace = Pace::until(Instant::now() + self.limits.health);
        loop {
            let guest = self.probe(call)?;
            let well = guest.as_ref().is_some_and(Guest::is_well);
            let ill = guest
                .as_ref()
                .is_some_and(|guest| guest.all(Condition::Ill).next().is_some());
            if let Some(guest) = &guest {
                let healthy = guest.all(Condition::Well).count();
                self.view
                    .detail(&format!("{healthy} of {}", guest.services.len()));
                self.seen = Some(guest.clone());
            }
            if well {
                return Ok(());
            }
            let over = !ill && !pace.wait()?;
            if let (true, Some(service)) = (ill || over, guest.as_ref().and_then(worst)) {
                return Err(self.unhealthy(service));
            }
            if over {
                return Err(out_of_time("the VM does not answer"));
            }
        }
    }

    /// The error about a service that is not well, with the end of its log.
    fn unhealthy(&self, service: &Service) -> Box<Error> {
        let log = self
            .multipass
            .call(&guest::service_log(&service.name), Kind::Unexpected);
        let mut error = Error::new(
            Kind::Unhealthy,
            format!("the service `{}` is not healthy", service.name),
        )
        .because(format!("its state: {}", service.words()))
        .log(log.unwrap_or_default().lines().map(str::to_owned))
        .next(format!("polis logs {}", service.name))
        .next("polis start   (starts it again)");
        error.service = Some(service.name.clone());
        error
    }

    /// Waits for the end of a job; one that was lost, as by a reboot, is started again once.
    fn job(&mut self, job: &Job, limit: Duration) -> Result<Ended> {
        let mut pace = Pace::until(Instant::now() + limit);
        self.succeed(&job.start, Kind::Unexpected)?;
        let mut lost = false;
        loop {
            let answer = self.multipass.call(&job.poll, Kind::Unexpected)?;
            let status = Status::parse(&answer)?;
            match status.state {
                JobState::Ended(0) => return Ok(Ended::Well),
                JobState::Ended(code) => return Ok(Ended::Badly(code, status.log)),
                JobState::Running => {}
                JobState::Lost if lost => {
                    return Err(
                        Error::new(Kind::Machine, "a command in the VM vanished, twice")
                            .tried(job.start.to_text())
                            .next("polis start"),
                    );
                }
                JobState::Lost => {
                    lost = true;
                    self.succeed(&job.start, Kind::Unexpected)?;
                }
            }
            match (status.pulled, status.log.last()) {
                (1.., _) => self.view.detail(&format!("{} pulled", status.pulled)),
                (0, Some(line)) => self.view.detail(line),
                (0, None) => {}
            }
            if !pace.wait()? {
                return Ok(Ended::Late(status.log));
            }
        }
    }
}

/// The service that most needs a look: what waits for it is not well either, and says less.
fn worst(guest: &Guest) -> Option<&Service> {
    let by = |condition| guest.all(condition).next();
    by(Condition::Ill)
        .or(by(Condition::Starting))
        .or(by(Condition::Down))
}

/// How a job ended.
enum Ended {
    Well,
    Badly(i32, Vec<String>),
    /// Not in time; it goes on in the VM.
    Late(Vec<String>),
}

/// What a job's poll tells.
#[derive(Debug)]
struct Status {
    state: JobState,
    pulled: u32,
    log: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobState {
    Running,
    Ended(i32),
    /// Neither running nor ended.
    Lost,
}

impl Status {
    fn parse(text: &str) -> Result<Self> {
        let unreadable = || {
            Error::new(
                Kind::Unexpected,
                "a command in the VM gave no account of itself",
            )
            .log(text.lines().map(str::to_owned))
            .next("polis start")
        };
        let plain = refusal::plain(guest::answer(text, "polis-job 1").unwrap_or_default());
        let mut lines = plain.lines();
        let words: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let state = match words.as_slice() {
            ["running"] => JobState::Running,
            ["lost"] => JobState::Lost,
            ["ended", code] => JobState::Ended(code.parse().map_err(|_| unreadable())?),
            _ => return Err(unreadable()),
        };
        let pulled = lines.next().and_then(|line| line.strip_prefix("pulled "));
        let pulled = pulled
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or_default();
        let log = plain.lines().skip_while(|line| *line != "log").skip(1);
        Ok(Self {
            state,
            pulled,
            log: log
                .map(|line| line.trim_end().to_owned())
                .filter(|line| !line.is_empty())
                .collect(),
        })
    }
}

/// The line of a pull's log that says why.
fn cause_of_pull(log: &[String]) -> Option<String> {
    let telling = |line: &&String| line.contains("Error") || line.contains("error");
    log.iter().rev().find(telling).or(log.last()).cloned()
}

fn out_of_time(what: &str) -> Box<Error> {
    Error::new(Kind::TimedOut, what)
        .next("polis start   (goes on where it stopped)")
        .next("polis start --timeout 1800   (waits longer)")
}

fn never() -> Box<Error> {
    Error::new(Kind::Provisioning, "the VM was not provisioned")
        .because("cloud-init has ended there without our user-data: Multipass did not hand it on")
        .next("polis delete --purge, then: polis start")
}

const _: () = assert!(GUEST_FAILED != guest::DAMAGED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_how_it_is() {
        let status =
            Status::parse("noise|polis-job 1\nended 1\npulled 3\nlog\n a\x1b[0m\nError: b\n")
                .unwrap();
        assert_eq!((status.state, status.pulled), (JobState::Ended(1), 3));
        assert_eq!(status.log, [" a", "Error: b"]);
        assert_eq!(cause_of_pull(&status.log).as_deref(), Some("Error: b"));
        assert_eq!(
            Status::parse("polis-job 1\nlost\npulled \nlog\n")
                .unwrap()
                .state,
            JobState::Lost
        );
        assert!(Status::parse("").is_err());
    }
}
