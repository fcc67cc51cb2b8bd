//! The agents as the workspace reports them. The workspace is not trusted: its report is shown, but nothing depends on it.

use crate::guest::{self, AGENTS};

/// The answer of `agents-state.sh`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AgentsReport {
    pub(crate) states: Vec<AgentState>,
    /// The ports that each agent requests.
    ports: Vec<(String, u16)>,
    /// The names of the keys stored for each agent.
    keys: Vec<(String, String)>,
}

/// The state of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentState {
    pub(crate) name: String,
    /// `installing`, `install-failed`, `starting`, `running`, `healthy`, `unhealthy`, `failed` or `stopped`.
    pub(crate) word: String,
    /// A line of a log with details; often empty.
    pub(crate) detail: String,
}

impl AgentsReport {
    /// Parses the answer, skipping unknown lines.
    pub(crate) fn parse(text: &str) -> Self {
        let mut agents = Self::default();
        for line in guest::answer(text, AGENTS).unwrap_or_default().lines() {
            let line = line.trim_end();
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["end"] => break,
                ["in", name, word, detail @ ..] => agents.states.push(AgentState {
                    name: (*name).to_owned(),
                    word: (*word).to_owned(),
                    detail: detail.concat(),
                }),
                [what @ ("ports" | "keys"), name, ..] => {
                    for value in line.split(' ').skip(2) {
                        let name = (*name).to_owned();
                        match (*what, value.parse()) {
                            ("keys", _) => agents.keys.push((name, value.to_owned())),
                            (_, Ok(port)) => agents.ports.push((name, port)),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        agents
    }

    /// The state of an agent, if the workspace reports it.
    pub(crate) fn state(&self, name: &str) -> Option<&AgentState> {
        self.states.iter().find(|state| state.name == name)
    }

    pub(crate) fn ports_of(&self, name: &str) -> Vec<u16> {
        of(&self.ports, name)
    }

    pub(crate) fn keys_of(&self, name: &str) -> Vec<String> {
        of(&self.keys, name)
    }
}

fn of<T: Clone>(pairs: &[(String, T)], name: &str) -> Vec<T> {
    let pairs = pairs.iter().filter(|(of, _)| of == name);
    pairs.map(|(_, value)| value.clone()).collect()
}

impl AgentState {
    /// Whether it is still being installed or started.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.word.as_str(), "installing" | "starting")
    }

    /// Whether it has failed or is unhealthy.
    pub(crate) fn is_unhealthy(&self) -> bool {
        matches!(
            self.word.as_str(),
            "install-failed" | "unhealthy" | "failed"
        )
    }

    /// The state as a message.
    pub(crate) fn words(&self) -> String {
        let word = self.word.replace('-', " ");
        match self.detail.as_str() {
            "" => format!("{}: {word}", self.name),
            detail => format!("{}: {word}: {detail}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_the_workspace_cannot_pass_for_those_of_the_vm() {
        let text = "noise|polis-agents 1\nports echo 8099 8100\nkeys echo A B\nin echo install-failed its script: 3\nin evil ports\nin ports evil 7\n\nend\n\
                    ports late 1\n";
        let agents = AgentsReport::parse(text);
        assert_eq!(agents.ports_of("echo"), [8099, 8100]);
        assert_eq!(agents.keys_of("echo"), ["A", "B"]);
        assert_eq!(agents.ports.len(), 2);
        let echo = agents.state("echo").unwrap();
        assert_eq!(echo.words(), "echo: install failed: its script: 3");
        assert!(echo.is_unhealthy() && !echo.is_starting());
        assert_eq!(agents.state("evil").unwrap().word, "ports");
        assert_eq!(AgentsReport::parse(""), AgentsReport::default());
    }
}
