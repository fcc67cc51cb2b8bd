//! Long commands in the guest: started detached, then polled.

use std::time::{Duration, Instant};

use super::pulled::Pulled;
use super::{Backoff, Reconciler};
use crate::error::{Error, Kind, Result};
use crate::guest::{self, Job};
use crate::multipass::screen;

impl Reconciler<'_> {
    /// Runs a job until it ends. A job that is lost, for instance by a reboot, is started again once.
    pub(super) fn job(&mut self, job: &Job, limit: Duration) -> Result<Ended> {
        let mut backoff = Backoff::until(Instant::now() + limit);
        self.succeed(&job.start, Kind::Unexpected)?;
        let mut lost = false;
        loop {
            let Some(answer) = self.ask(&job.poll)? else {
                if !backoff.wait()? {
                    return Ok(Ended::Late(Vec::new()));
                }
                continue;
            };
            let status = JobStatus::parse(&answer)?;
            match status.state {
                JobState::Ended(0) => return Ok(Ended::Succeeded),
                JobState::Ended(code) => return Ok(Ended::Failed(code, status.log)),
                JobState::Running => {}
                JobState::Lost if lost => {
                    return Err(
                        Error::new(Kind::Machine, "a command in the VM disappeared twice")
                            .tried(job.start.to_text())
                            .next("polis start"),
                    );
                }
                JobState::Lost => {
                    lost = true;
                    self.succeed(&job.start, Kind::Unexpected)?;
                }
            }
            match status.log.last() {
                // From `stack.sh` itself, such as before it retries.
                Some(line) if line.starts_with("stack: ") => self.view.quote("log", line),
                _ if status.pulled.is_some() => {
                    let pulled = status.pulled;
                    self.view.counted(&pulled.words(), &pulled.count());
                }
                Some(line) => self.view.quote("log", line),
                None => {}
            }
            if !backoff.wait()? {
                return Ok(Ended::Late(status.log));
            }
        }
    }
}

/// How a job ended.
pub(super) enum Ended {
    Succeeded,
    /// With this exit code, and the last lines of its log.
    Failed(i32, Vec<String>),
    /// It exceeded its limit, and continues in the VM.
    Late(Vec<String>),
}

/// The answer of a job's poll.
#[derive(Debug)]
struct JobStatus {
    state: JobState,
    pulled: Pulled,
    log: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobState {
    Running,
    Ended(i32),
    /// It does not exist, and left no result.
    Lost,
}

impl JobStatus {
    fn parse(text: &str) -> Result<Self> {
        let unreadable = || {
            let lines = text.lines().map(str::to_owned);
            guest::unreadable(
                "could not read the state of a command in the VM",
                "its answer is malformed",
            )
            .log(lines)
        };
        let plain = screen::plain(guest::answer(text, "polis-job 1").unwrap_or_default());
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
        let pulled = Pulled::parse(lines.next().unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_parsed() {
        let status = JobStatus::parse(
            "noise|polis-job 1\nended 1\npulled 3 9 0 0 0\nlog\n a\x1b[0m\nError: b\n",
        )
        .unwrap();
        assert_eq!(status.state, JobState::Ended(1));
        assert_eq!(status.pulled.words(), "3 of 9 images");
        assert_eq!(status.log, [" a", "Error: b"]);
        assert_eq!(
            JobStatus::parse("polis-job 1\nlost\npulled\nlog\n")
                .unwrap()
                .state,
            JobState::Lost
        );
        assert!(JobStatus::parse("").is_err());
    }
}
