//! The steps that launch and start the VM, and wait for it.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::{BOOT, Backoff, Reconciler, ahead, out_of_time};
use crate::blocked::hangs;
use crate::error::{Kind, Result};
use crate::guest;
use crate::guest::provision::Progress;
use crate::multipass::call::Call;
use crate::multipass::refusal::{self, Refusal};
use crate::multipass::screen::plain;
use crate::multipass::state::{NO_ANSWER, Outlook, VmState, parse_list};
use crate::multipass::{failed, list_call};
use crate::platform;
use crate::process::Output;

/// How often the guest's progress is read while a launch runs.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long reading it may take; the daemon may be busy.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

impl Reconciler<'_> {
    pub(super) fn launch(&mut self, call: &Call, ahead: &[Call]) -> Result<()> {
        self.launched = true;
        let multipass = self.multipass;
        let (launched, over) = channel();
        let output = thread::scope(|scope| {
            scope.spawn(move || ahead::transfer(multipass, ahead, &over));
            let output = self.watch_launch(call);
            drop(launched);
            output
        })?;
        if output.code == Some(0) {
            // This only means that cloud-init has finished.
            return Ok(());
        }
        match refusal::of(output.code, &output.stderr) {
            // The VM exists and continues.
            Refusal::InitTimeout => Ok(()),
            Refusal::ClientTimeout => self.await_machine(&list_call(), self.limits.provisioned),
            // An earlier launch was interrupted, and the daemon continued it.
            Refusal::BeingPrepared | Refusal::Exists => {
                self.view.detail("an earlier launch is still running");
                self.await_machine(&list_call(), self.limits.provisioned)
            }
            Refusal::Deleted => Err(refusal::deleted()),
            _ => Err(failed(call, &output, Kind::Machine)),
        }
    }

    /// Waits for the end of a launch, and shows the guest's progress.
    pub(super) fn watch_launch(&mut self, call: &Call) -> Result<Output> {
        let left = self
            .limits
            .provisioned
            .saturating_duration_since(Instant::now());
        let limit = left + self.limits.answer;
        let mut polled = Instant::now();
        let mut seen = false;
        let multipass = self.multipass;
        let ended = multipass.watched(call, limit, |running| {
            if !seen {
                self.view.stages(&running.stdout_so_far());
            }
            if running.runs() && polled.elapsed() >= INTERVAL {
                seen = self.show_progress();
                polled = Instant::now();
            }
        })?;
        ended.ok_or_else(|| {
            self.not_provisioned_in_time("`multipass launch` did not finish")
                .tried(call.to_text())
        })
    }

    /// Shows the progress of the provisioning; false if there is none yet. Errors are ignored, since the launch itself may
    /// still succeed.
    pub(super) fn show_progress(&mut self) -> bool {
        // With a short limit: the launch may have ended.
        let list = self.multipass.output(&list_call(), Some(PROGRESS_TIMEOUT));
        let state = list.and_then(|output| parse_list(&output.stdout));
        if !matches!(state, Ok(Some(VmState::Running))) {
            return false;
        }
        let Ok(output) = self
            .multipass
            .output(&guest::progress(), Some(PROGRESS_TIMEOUT))
        else {
            return false;
        };
        let progress = Progress::parse(&plain(&output.stdout));
        self.view.provisioning(&progress);
        !progress.steps.is_empty()
    }

    pub(super) fn start_machine(&mut self, call: &Call) -> Result<()> {
        let multipass = self.multipass;
        let limit = BOOT + self.limits.answer;
        let ended = multipass.watched(call, limit, |running| {
            self.view.stages(&running.stdout_so_far());
        })?;
        let late = || {
            out_of_time("the VM does not start")
                .tried(call.to_text())
                .next(platform::UNREACHABLE_VM)
        };
        let Some(output) = ended else {
            return Err(late());
        };
        match refusal::of(output.code, &output.stderr) {
            _ if output.code == Some(0) => Ok(()),
            // Another program has started it.
            Refusal::NoAnswer => Ok(()),
            Refusal::Deleted => Err(refusal::deleted()),
            Refusal::ClientTimeout => Err(late()),
            _ => Err(failed(call, &output, Kind::Machine)),
        }
    }

    pub(super) fn await_machine(&mut self, call: &Call, end: Instant) -> Result<()> {
        let mut backoff = Backoff::until(end);
        let mut silent_since = None;
        loop {
            let state = parse_list(&self.multipass.call(call, Kind::Machine)?)?;
            let outlook = state.as_ref().map(VmState::outlook);
            if outlook != Some(Outlook::NoAnswer) {
                silent_since = None;
            }
            match (outlook, &state) {
                (Some(Outlook::Up | Outlook::Off), _) => return Ok(()),
                (Some(Outlook::Deleted), _) => return Err(refusal::deleted()),
                (Some(Outlook::NoAnswer), _) => {
                    let since = silent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.limits.silence {
                        return Err(hangs(self.limits.silence.as_secs()));
                    }
                    self.view.detail(NO_ANSWER);
                }
                (_, Some(state)) => self.view.detail(state.word()),
                (_, None) => self.view.detail("not created yet"),
            }
            if !backoff.wait()? {
                let word = state.as_ref().map_or("missing", VmState::word);
                return Err(out_of_time("the VM is not running").because(format!("it is {word}")));
            }
        }
    }
}
