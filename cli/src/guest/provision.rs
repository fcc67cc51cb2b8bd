//! The report and the progress of the provisioning, as `provision.sh` writes them.

use serde::{Deserialize, Serialize};

use crate::guest;

/// Where the report is.
pub(crate) const REPORT: &str = "/var/lib/polis/provision.json";
/// Where everything is that the provisioning printed.
pub(crate) const LOG: &str = "/var/log/polis-provision.log";

/// How many steps are read; there are a dozen.
const MOST_STEPS: usize = 100;

/// How a provisioning ended.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Report {
    /// `done` or `failed`.
    pub(crate) status: String,
    /// The last step.
    pub(crate) step: String,
    /// What ended it.
    pub(crate) exit_code: i32,
    /// Why.
    pub(crate) message: String,
    /// Seconds of the whole.
    pub(crate) seconds: u64,
    /// Every step.
    pub(crate) steps: Vec<ProvisioningStep>,
    /// The last lines of its log.
    pub(crate) log_tail: Vec<String>,
}

/// A step of the provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ProvisioningStep {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) seconds: u64,
}

/// What the progress script tells: the steps so far, and the last line of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) steps: Vec<ProvisioningStep>,
    pub(crate) last_line: String,
}

impl Progress {
    /// Reads the answer of the progress script.
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
                // Its start gives way to its end.
                progress.steps.retain(|known| known.name != step.name);
                if progress.steps.len() < MOST_STEPS {
                    progress.steps.push(step);
                }
            }
        }
        progress
    }

    /// The step that is at work.
    pub(crate) fn current(&self) -> Option<&str> {
        let last = self.steps.last().filter(|step| step.state == "start");
        last.map(|step| step.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_last_word_on_each_step() {
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
