//! The steps that bring the VM up: launched, started, waited for.

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

/// How often the guest is asked how far it is while a launch runs.
const GLANCE: Duration = Duration::from_secs(3);
/// How long such a question may take; the daemon may have other work.
const GLIMPSE: Duration = Duration::from_secs(10);

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
        let left = self
            .limits
            .provisioned
            .saturating_duration_since(Instant::now());
        let limit = left + self.limits.answer;
        let mut glanced = Instant::now();
        let mut seen = false;
        let multipass = self.multipass;
        let ended = multipass.watched(call, limit, |running| {
            if !seen {
                self.view.stages(&running.stdout_so_far());
            }
            if running.runs() && glanced.elapsed() >= GLANCE {
                seen = self.show_progress();
                glanced = Instant::now();
            }
        })?;
        ended.ok_or_else(|| {
            self.not_provisioned_in_time("`multipass launch` does not end")
                .tried(call.to_text())
        })
    }

    /// Shows how far the provisioning is; false when it cannot be seen yet. A failure to see is no
    /// failure of what is watched.
    pub(super) fn show_progress(&mut self) -> bool {
        // Never for long: what is watched may have ended.
        let list = self.multipass.output(&list_call(), Some(GLIMPSE));
        let state = list.and_then(|output| parse_list(&output.stdout));
        if !matches!(state, Ok(Some(VmState::Running))) {
            return false;
        }
        let Ok(output) = self.multipass.output(&guest::progress(), Some(GLIMPSE)) else {
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
            // Somebody else has switched it on.
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
                (_, None) => self.view.detail("not there yet"),
            }
            if !backoff.wait()? {
                let word = state.as_ref().map_or("not there", VmState::word);
                return Err(out_of_time("the VM is not running").because(format!("it is {word}")));
            }
        }
    }
}
