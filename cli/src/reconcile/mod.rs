//! Executes a plan: makes the calls of each step and waits for their result.
//!
//! It decides only whether a step has succeeded or failed. The next run continues from any state that a killed one leaves.

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
use crate::plan::{Desired, Step, StepName};
use crate::process;
use crate::view::View;

/// How long a VM may take to boot.
const BOOT: Duration = Duration::from_secs(300);
/// How long a running VM may not answer before it counts as hanging: three times the slowest first boot measured, 58 s until SSH
/// under software emulation.
const SILENCE: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub(crate) struct Reconciler<'a> {
    multipass: &'a Multipass<'a>,
    desired: &'a Desired,
    limits: Limits,
    view: View,
    launched: bool,
    /// The finished steps, each with its time.
    pub(crate) did: Vec<(StepName, Duration)>,
    /// The guest as last probed.
    pub(crate) seen: Option<Guest>,
    /// The agents as last reported.
    pub(crate) agents: AgentsReport,
}

#[derive(Debug)]
struct Limits {
    /// The deadline of the launch and the provisioning.
    provisioned: Instant,
    /// How much longer than its own limit a call may take to return.
    answer: Duration,
    /// How long a VM may not answer.
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

    /// Executes `steps` in order; true if the state has to be observed again.
    ///
    /// # Errors
    /// Of the first step that fails; earlier ones stay done.
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

    /// Probes the guest; none if it does not answer now.
    fn probe(&self, call: &Call) -> Result<Option<Guest>> {
        let answer = self.ask(call)?;
        answer.map(|text| Guest::parse(&text)).transpose()
    }

    /// Makes a call in the guest; none if it does not answer now, as during a boot and on bad networks.
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
