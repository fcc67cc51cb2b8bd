//! Waits for the provisioning, and reports its failure.

use std::time::Instant;

use super::{BOOT, Backoff, Reconciler, out_of_time};
use crate::blocked::never_provisioned;
use crate::error::{Error, Kind, Result};
use crate::guest;
use crate::guest::probe::{Guest, Provisioning};
use crate::guest::provision::{LOG, Progress, REPORT, Report};
use crate::multipass::SMALL_FILE;
use crate::multipass::call::Call;
use crate::multipass::state::VmState;

impl Reconciler<'_> {
    pub(super) fn await_provisioning(&mut self, call: &Call) -> Result<()> {
        let mut backoff = Backoff::until(self.limits.provisioned);
        let mut cut_short = false;
        loop {
            if let Some(guest) = self.probe(call)? {
                match guest.provisioning() {
                    Provisioning::Done => return self.check_marker(&guest),
                    Provisioning::Failed => return Err(self.provisioning_failed()),
                    Provisioning::Never => return Err(never_provisioned()),
                    Provisioning::CutShort if cut_short => return Err(cut_short_twice()),
                    Provisioning::CutShort => {
                        cut_short = true;
                        self.reprovision(&guest::reprovision())?;
                        backoff = Backoff::until(self.limits.provisioned);
                    }
                    Provisioning::Running => {}
                }
            }
            self.show_progress();
            if !backoff.wait()? {
                return Err(self.not_provisioned_in_time("the VM is still being provisioned"));
            }
        }
    }

    /// Runs the script again. Its own limits add up to more than a launch may take, so it gets more time.
    pub(super) fn reprovision(&mut self, call: &Call) -> Result<()> {
        self.limits.provisioned = self.limits.provisioned.max(Instant::now() + BOOT);
        self.succeed(call, Kind::Provisioning)
    }

    /// Checks that a VM launched by this run was provisioned with the user-data of this run.
    pub(super) fn check_marker(&self, guest: &Guest) -> Result<()> {
        if self.launched && self.desired.marker.is_some() && guest.marker != self.desired.marker {
            return Err(Error::new(
                Kind::Provisioning,
                "the VM was provisioned with other user-data than polis sent",
            )
            .because("the digests in its marker are not those of the files built into polis")
            .next("polis delete --purge, then: polis start"));
        }
        Ok(())
    }

    pub(super) fn provisioning_failed(&self) -> Box<Error> {
        let report = self.multipass.read(REPORT, SMALL_FILE).and_then(|text| {
            serde_json::from_slice::<Report>(&text).map_err(|error| {
                Error::new(
                    Kind::Unexpected,
                    "the report of the provisioning is malformed",
                )
                .caused_by(&error)
            })
        });
        match report {
            Ok(report) => {
                let mut error = Error::new(
                    Kind::Provisioning,
                    format!(
                        "the provisioning of the VM failed in step `{}`",
                        report.step
                    ),
                )
                .because(format!(
                    "{} (exit code {})",
                    report.message, report.exit_code
                ))
                .log(report.log_tail)
                .next("polis start   (provisions again; finished steps are skipped)")
                .next(format!("polis exec --vm -- sudo less {LOG}"));
                error.step = Some(report.step);
                error
            }
            Err(cause) => Error::new(Kind::Provisioning, "the provisioning of the VM failed")
                .because(format!("could not read its report: {}", cause.message))
                .next("polis start   (provisions again; finished steps are skipped)"),
        }
    }

    /// The error when time is up, with the guest's progress if it answers.
    pub(super) fn not_provisioned_in_time(&self, what: &str) -> Box<Error> {
        let runs = matches!(self.multipass.state(), Ok(Some(VmState::Running)));
        let answer = runs.then(|| self.multipass.output(&guest::progress(), None));
        let text = answer.and_then(Result::ok).unwrap_or_default().stdout;
        let progress = Progress::parse(&text);
        let mut error = out_of_time(what);
        if let Some(step) = progress.current() {
            error = error.because(format!("it is in the step `{step}`"));
            error.step = Some(step.to_owned());
        }
        error.log(Some(progress.last_line).filter(|line| !line.is_empty()))
    }
}

fn cut_short_twice() -> Box<Error> {
    Error::new(
        Kind::Provisioning,
        "the provisioning of the VM ended without a report, twice",
    )
    .because("the VM was switched off meanwhile, or its disk is full")
    .next(format!("polis exec --vm -- sudo less {LOG}"))
    .next("polis start   (provisions again; finished steps are skipped)")
    .next("polis delete --purge, then: polis start")
}
