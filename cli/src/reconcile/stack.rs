//! The steps inside a provisioned VM: bundle and agent, images, services, health.

use std::time::Instant;

use super::job::Ended;
use super::{Backoff, Reconciler, out_of_time};
use crate::error::{Error, Kind, Result};
use crate::guest::agents::AgentsReport;
use crate::guest::probe::{Guest, RECREATE_WORKSPACE, WORKSPACE};
use crate::guest::service::{Condition, Service};
use crate::guest::{self, Job};
use crate::multipass::call::Call;
use crate::multipass::refusal;
use crate::multipass::{SMALL_FILE, TRANSFER, failed, screen};

impl Reconciler<'_> {
    /// Transfers and installs an archive; once more if it arrived damaged.
    pub(super) fn install(&mut self, [transfer, install]: &[Call; 2]) -> Result<()> {
        for _ in 0..2 {
            let output = self.multipass.output(transfer, Some(TRANSFER))?;
            if output.code != Some(0) {
                return Err(failed(transfer, &output, Kind::Transfer));
            }
            let output = self.multipass.output(install, None)?;
            match output.code {
                Some(0) => return Ok(()),
                Some(guest::CLAIMED) => {
                    let words = refusal::reasons(&output.stderr);
                    return Err(Error::new(Kind::Usage, "the agent was not added")
                        .because(words.join(" "))
                        .next("polis agent list"));
                }
                Some(guest::DAMAGED) => self
                    .view
                    .detail("it arrived damaged; transferring it again"),
                _ => return Err(failed(install, &output, Kind::Transfer)),
            }
        }
        Err(
            Error::new(Kind::Transfer, "the transfer arrived damaged twice")
                .because("its SHA-256 in the VM differs from that of the file sent")
                .tried(transfer.to_text())
                .next("polis start"),
        )
    }

    pub(super) fn pull(&mut self, job: &Job) -> Result<()> {
        let error = match self.job(job, self.limits.pull)? {
            Ended::Succeeded => return Ok(()),
            Ended::Late(log) => Error::new(Kind::TimedOut, "the images are still being pulled")
                .log(log)
                .next("polis start   (continues where it stopped)")
                .next("POLIS_PULL_TIMEOUT=3600 polis start   (waits longer)"),
            Ended::Failed(code, log) => {
                let cause =
                    cause_of_pull(&log).unwrap_or(format!("the pull failed with exit code {code}"));
                Error::new(Kind::Pull, "could not pull an image")
                    .because(cause)
                    .log(log)
                    .next("polis start")
                    .next("polis doctor   (checks whether the registry is reachable)")
            }
        };
        Err(error.tried(job.start.to_text()))
    }

    pub(super) fn up(&mut self, job: &Job) -> Result<()> {
        let (cause, log) = match self.job(job, self.limits.health)? {
            Ended::Succeeded => return Ok(()),
            Ended::Late(log) => ("they are still being started".to_owned(), log),
            Ended::Failed(code, log) => {
                let ended = format!("docker compose failed with exit code {code}");
                (log.last().cloned().unwrap_or(ended), log)
            }
        };
        // The services themselves show best which one failed.
        self.seen = self.probe(&guest::probe())?;
        if let Some(service) = self.seen.as_ref().and_then(worst) {
            return Err(self.unhealthy(service));
        }
        Err(Error::new(Kind::Unhealthy, "could not start the services")
            .because(cause)
            .tried(job.start.to_text())
            .log(log)
            .next("polis start")
            .next("polis status"))
    }

    pub(super) fn await_health(&mut self, call: &Call) -> Result<()> {
        let mut backoff = Backoff::until(Instant::now() + self.limits.health);
        loop {
            let guest = self.probe(call)?;
            let healthy_now = guest.as_ref().is_some_and(Guest::is_healthy);
            let unhealthy = guest
                .as_ref()
                .is_some_and(|guest| guest.all(Condition::Unhealthy).next().is_some());
            if let Some(guest) = &guest {
                let healthy = guest.all(Condition::Healthy).count();
                self.view
                    .detail(&format!("{healthy} of {}", guest.services.len()));
                self.seen = Some(guest.clone());
            }
            if healthy_now {
                return Ok(());
            }
            let over = !unhealthy && !backoff.wait()?;
            if let (true, Some(service)) = (unhealthy || over, guest.as_ref().and_then(worst)) {
                return Err(self.unhealthy(service));
            }
            if over {
                return Err(out_of_time("the VM does not answer"));
            }
        }
    }

    /// Waits until each agent of the workspace is healthy or has failed. None of them makes a start fail, and one that takes
    /// longer continues in the workspace.
    pub(super) fn await_agents(&mut self, call: &Call) -> Result<()> {
        let mut backoff = Backoff::until(Instant::now() + self.limits.health);
        loop {
            if let Some(answer) = self.ask(call)? {
                self.agents = AgentsReport::parse(&screen::plain(&answer));
            }
            let Some(busy) = self.agents.states.iter().find(|state| state.is_starting()) else {
                return Ok(());
            };
            self.view.detail(&busy.words());
            if !backoff.wait()? {
                return Ok(());
            }
        }
    }

    /// The error about an unhealthy service, with the end of its log.
    pub(super) fn unhealthy(&self, service: &Service) -> Box<Error> {
        let differs = self.seen.as_ref().and_then(|seen| seen.workspace_differs);
        let mut error = Error::new(
            Kind::Unhealthy,
            format!("the service `{}` is not healthy", service.name),
        )
        .because(format!("its state: {}", service.words()))
        .log(self.log_of(service))
        .next(format!("polis logs {}", service.name))
        .next("polis start   (starts it again)");
        if let (WORKSPACE, Some(difference)) = (service.name.as_str(), differs) {
            error = error.because(difference.words()).next(format!(
                "{RECREATE_WORKSPACE}   (loses everything outside its volumes)"
            ));
        }
        error.service = Some(service.name.clone());
        error
    }

    /// The most relevant lines of a service's log; none if they cannot be read.
    fn log_of(&self, service: &Service) -> Vec<String> {
        let file = format!("{}/log-{}", guest::run::RUNS, service.name);
        let written = guest::service_log(&service.name, &file);
        let written = self.multipass.call(&written, Kind::Unexpected);
        let text = written.and_then(|_| self.multipass.read(&file, SMALL_FILE));
        let plain = screen::plain(&String::from_utf8_lossy(&text.unwrap_or_default()));
        plain.lines().map(str::to_owned).collect()
    }
}

/// The service that is the likely cause; those that wait for it are not healthy either.
fn worst(guest: &Guest) -> Option<&Service> {
    let by = |condition| guest.all(condition).next();
    by(Condition::Unhealthy)
        .or(by(Condition::Starting))
        .or(by(Condition::Down))
}

/// The line of a pull's log with the cause.
fn cause_of_pull(log: &[String]) -> Option<String> {
    let is_error = |line: &&String| line.contains("Error") || line.contains("error");
    log.iter().rev().find(is_error).or(log.last()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_pull_is_its_cause() {
        let log = [
            "gate Pulling",
            "Error: a",
            "Error: b",
            "stack: not pulled: x",
        ];
        let log = log.map(str::to_owned);
        assert_eq!(cause_of_pull(&log).as_deref(), Some("Error: b"));
        assert_eq!(cause_of_pull(&log[..1]).as_deref(), Some("gate Pulling"));
        assert_eq!(cause_of_pull(&[]), None);
    }
}
