//! Executes a plan: each step by the calls that it names, each with its end to wait for.
//!
//! Nothing is decided here but whether a step has ended, well or not. A run that is killed anywhere
//! leaves a state that the next run probes and continues from.

mod ahead;
mod job;
mod machine;
mod provisioning;
mod pulled;
mod stack;

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::agents::AgentsReport;
use crate::guest::probe::Guest;
use crate::multipass::call::Call;
use crate::multipass::refusal::{self, Refusal};
use crate::multipass::{Multipass, failed, interrupted};
use crate::plan::{Desired, Step};
use crate::process;
use crate::view::View;

/// How long a VM may take to run once it was started.
const BOOT: Duration = Duration::from_secs(300);
/// How long the daemon may be without an answer of a VM that it has switched on. Three times the slowest first boot that
/// was seen, 58 s until SSH under software emulation; what is silent for longer than that has hung.
const SILENCE: Duration = Duration::from_secs(180);

/// Executes plans.
#[derive(Debug)]
pub(crate) struct Reconciler<'a> {
    multipass: &'a Multipass<'a>,
    desired: &'a Desired,
    limits: Limits,
    view: View,
    launched: bool,
    /// What was done, with the time it took.
    pub(crate) did: Vec<(&'static str, Duration)>,
    /// The guest when it was last looked at.
    pub(crate) seen: Option<Guest>,
    /// The agents when they were last asked for.
    pub(crate) agents: AgentsReport,
}

/// How long things may take.
#[derive(Debug)]
struct Limits {
    /// The end of the launch and the provisioning.
    provisioned: Instant,
    /// How much longer than its own time a call may take to say how it ended.
    answer: Duration,
    /// How long a VM may be silent.
    silence: Duration,
    pull: Duration,
    health: Duration,
}

/// The pauses of a poll: 200 ms at first, growing to 3 s, until a deadline.
#[derive(Debug)]
struct Backoff {
    pause: Duration,
    end: Instant,
}

impl Backoff {
    fn until(end: Instant) -> Self {
        let pause = Duration::from_millis(200);
        Self { pause, end }
    }

    /// Pauses; false once the deadline has passed.
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
    pub(crate) fn new(
        context: &Context,
        multipass: &'a Multipass<'a>,
        desired: &'a Desired,
    ) -> Self {
        let settings = &context.settings;
        Self {
            multipass,
            desired,
            limits: Limits {
                provisioned: Instant::now() + settings.timeout.duration(),
                answer: settings.call_timeout.duration(),
                silence: SILENCE.min(settings.timeout.duration()),
                pull: settings.pull_timeout.duration(),
                health: settings.health_timeout.duration(),
            },
            view: View::new(context.output, context.verbose),
            launched: false,
            did: Vec::new(),
            seen: None,
            agents: AgentsReport::default(),
        }
    }

    /// Executes `steps` in order; true when what is has to be looked at again.
    ///
    /// # Errors
    /// The first step that fails; what was done stays.
    pub(crate) fn run(&mut self, steps: &[Step]) -> Result<bool> {
        for step in steps {
            if matches!(step, Step::Reobserve) {
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
            Step::Launch(call, ahead) => self.launch(call, ahead),
            Step::StartMachine(call) => self.start_machine(call),
            Step::AwaitMachine(call) => self.await_machine(call, Instant::now() + BOOT),
            Step::Reprovision(call) => self.reprovision(call),
            Step::AwaitProvisioning(call) => self.await_provisioning(call),
            Step::InstallBundle(calls) | Step::InstallAgent(calls) => self.install(calls),
            Step::GiveKeys(calls) | Step::SetProxies(calls) => calls
                .iter()
                .try_for_each(|call| self.succeed(call, Kind::Transfer)),
            Step::LayerAgents(call)
            | Step::OpenPorts(call)
            | Step::MakeSecrets(call)
            | Step::MarkReady(call) => self.succeed(call, Kind::Unexpected),
            Step::AwaitAgents(call) => self.await_agents(call),
            Step::Pull(job) => self.pull(job),
            Step::Up(job) => self.up(job),
            Step::AwaitHealth(call) => self.await_health(call),
            Step::Reobserve => Ok(()),
        }
    }

    fn succeed(&self, call: &Call, kind: Kind) -> Result<()> {
        self.multipass.call(call, kind).map(drop)
    }

    /// Looks at the guest; none when it does not answer just now.
    fn probe(&self, call: &Call) -> Result<Option<Guest>> {
        let answer = self.ask(call)?;
        answer.map(|text| Guest::parse(&text)).transpose()
    }

    /// Asks the guest something; none when it does not answer just now, which happens around a boot
    /// and on bad networks.
    fn ask(&self, call: &Call) -> Result<Option<String>> {
        let output = self.multipass.output(call, None)?;
        if output.code == Some(0) {
            return Ok(Some(output.stdout));
        }
        match refusal::of(output.code, &output.stderr) {
            Refusal::SshFailed | Refusal::NoAnswer => Ok(None),
            _ => Err(failed(call, &output, Kind::Unexpected)),
        }
    }
}

fn out_of_time(what: &str) -> Box<Error> {
    Error::new(Kind::TimedOut, what)
        .next("polis start   (continues where it stopped)")
        .next("polis start --timeout 1800   (waits longer)")
}
