//! The report and the progress of the provisioning, written by `provision.sh`.

use serde::{Deserialize, Serialize};

use crate::guest;

/// The path of the report.
pub(crate) const REPORT: &str = "/var/lib/polis/provision.json";
/// The path of the log with all output of the provisioning.
pub(crate) const LOG: &str = "/var/log/polis-provision.log";

/// The maximum number of steps that are read; there are a dozen.
const MOST_STEPS: usize = 100;

/// The result of a provisioning.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Report {
    /// `done` or `failed`.
    pub(crate) status: String,
    /// The last step.
    pub(crate) step: String,
    /// The exit code of the script.
    pub(crate) exit_code: i32,
    /// Why it failed.
    pub(crate) message: String,
    /// The total time in seconds.
    pub(crate) seconds: u64,
    pub(crate) steps: Vec<ProvisioningStep>,
    /// The last lines of the log.
    pub(crate) log_tail: Vec<String>,
}

/// A step of the provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ProvisioningStep {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) seconds: u64,
}

/// The answer of the progress script: the steps so far, and the last line of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) steps: Vec<ProvisioningStep>,
    pub(crate) last_line: String,
}

impl Progress {
    pub(crate) fn parse(text: &str) -> Self {
        let mut progress = Self::default();
        for line in text.lines() {
            progress.last_line = line.trim().to_owned();
            let Some(rest) = line.trim().strip_prefix("polis-provision: step ") else {
                continue;
            };
            let words: Vec<&str> = rest.split_whitespace().collect();
            if let [name, state, seconds] = words.as_slice()
                && guest::is_name(name)
                && guest::is_name(state)
            {
                let step = ProvisioningStep {
                    name: (*name).to_owned(),
                    state: (*state).to_owned(),
                    seconds: seconds.parse().unwrap_or_default(),
                };
                // The end of a step replaces its start.
                progress.steps.retain(|known| known.name != step.name);
                if progress.steps.len() < MOST_STEPS {
                    progress.steps.push(step);
                }
            }
        }
        progress
    }

    /// The step that is running.
    pub(crate) fn current(&self) -> Option<&str> {
        let last = self.steps.last().filter(|step| step.state == "start");
        last.map(|step| step.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_latest_state_of_each_step() {
        let progress = Progress::parse(
            "polis-provision: step docker-repo start 0\npolis-provision: step docker-repo done 7\n\
             polis-provision: step sysbox start 0\nSetting up sysbox-ce\n",
        );
        let step = |name: &str, state: &str, seconds| ProvisioningStep {
            name: name.into(),
            state: state.into(),
            seconds,
        };
        assert_eq!(
            progress.steps,
            [step("docker-repo", "done", 7), step("sysbox", "start", 0)]
        );
        assert_eq!(progress.current(), Some("sysbox"));
        assert_eq!(progress.last_line, "Setting up sysbox-ce");
        assert_eq!(Progress::parse(""), Progress::default());
        let endless = (0..200).map(|at| format!("polis-provision: step s{at} done 1\n"));
        assert_eq!(
            Progress::parse(&endless.collect::<String>()).steps.len(),
            MOST_STEPS
        );
        assert_eq!(
            Progress::parse("polis-provision: step hint: curl 0").steps,
            []
        );
    }
}
