//! The steps that bring the VM up: launched, started, waited for.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::{BOOT, Pace, Reconciler, ahead, out_of_time};
use crate::error::{Kind, Result};
use crate::guest;
use crate::guest::provision::Progress;
use crate::multipass::call::Call;
use crate::multipass::refusal::{self, Refusal};
use crate::multipass::state::{State, parse_list};
use crate::multipass::{failed, list_call};
use crate::platform;
use crate::process::Output;

/// How often the guest is asked how far it is while a launch runs.
const GLANCE: Duration = Duration::from_secs(3);

impl Reconciler<'_> {
    pub(super) fn launch(&mut self, call: &Call, ahead: &[Call]) -> Result<()> {
        self.launched = true;
        let multipass = self.multipass;
        let (launched, over) = channel();
        let output = thread::scope(|scope| {
            scope.spawn(move || ahead::bring(multipass, ahead, &over));
            let output = self.watch_launch(call);
            drop(launched);
            output
        })?;
        if output.code == Some(0) {
            // Which says only that cloud-init has ended.
            return Ok(());
        }
        match refusal::of(output.code, &output.stderr) {
            // The VM is there and goes on.
            Refusal::InitTimeout => Ok(()),
            Refusal::ClientTimeout => self.await_machine(&list_call(), self.limits.provisioned),
            // An earlier launch was cut off, and the daemon went on with it.
            Refusal::BeingPrepared | Refusal::Exists => {
                self.view.detail("an earlier launch is still at work");
                self.await_machine(&list_call(), self.limits.provisioned)
            }
            Refusal::Deleted => Err(refusal::deleted()),
            _ => Err(failed(call, &output, Kind::Machine)),
        }
    }

    /// Waits for the end of a launch, and meanwhile shows how far the guest is.
    pub(super) fn watch_launch(&mut self, call: &Call) -> Result<Output> {
        let mut running = self.multipass.start(call)?;
        let end = self.limits.provisioned + self.limits.answer;
        loop {
            let polled = running.poll(GLANCE);
            if let Some(output) = polled.map_err(|failure| self.multipass.failure(call, failure))? {
                return Ok(output);
            }
            if Instant::now() >= end {
                drop(running);
                return Err(self
                    .not_provisioned_in_time("Multipass's launch does not end")
                    .tried(call.to_text()));
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
    pub(super) fn show_progress(&mut self) -> bool {
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

    pub(super) fn start_machine(&mut self, call: &Call) -> Result<()> {
        let output = self
            .multipass
            .output(call, Some(BOOT + self.limits.answer))?;
        match refusal::of(output.code, &output.stderr) {
            _ if output.code == Some(0) => Ok(()),
            Refusal::Deleted => Err(refusal::deleted()),
            Refusal::ClientTimeout => Err(out_of_time("the VM does not start")
                .tried(call.to_text())
                .next(platform::UNREACHABLE_VM)),
            _ => Err(failed(call, &output, Kind::Machine)),
        }
    }

    pub(super) fn await_machine(&mut self, call: &Call, end: Instant) -> Result<()> {
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
}
