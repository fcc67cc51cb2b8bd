//! The services of the stack, as Docker reports them.

/// A service of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// Docker's word for its container; `missing` where there is none.
    pub(crate) state: String,
    /// Docker's word for its health; empty where nothing checks it.
    pub(crate) health: String,
    /// How it ended, where it has.
    pub(crate) exit_code: i32,
}

/// How a service is, for what is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Running and not unhealthy, or an init service that exited with 0.
    Healthy,
    /// Running, but not healthy yet.
    Starting,
    /// Missing, or exited.
    Down,
    /// Docker reports it as unhealthy, or it exited with a failure.
    Unhealthy,
}

impl Service {
    /// Whether it does one thing and ends: the stack's names say so, and a test holds them to it.
    pub(crate) fn is_init(&self) -> bool {
        self.name.ends_with("-init")
    }

    /// How it is.
    pub(crate) fn condition(&self) -> Condition {
        match (self.state.as_str(), self.health.as_str()) {
            ("exited", _) if self.is_init() && self.exit_code == 0 => Condition::Healthy,
            ("exited" | "dead", _) if self.is_init() => Condition::Unhealthy,
            ("running", "healthy") => Condition::Healthy,
            ("running", "") if !self.is_init() => Condition::Healthy,
            ("running", "unhealthy") => Condition::Unhealthy,
            ("running" | "restarting", _) => Condition::Starting,
            _ => Condition::Down,
        }
    }

    /// How it is, in words.
    pub(crate) fn words(&self) -> String {
        match (self.state.as_str(), self.health.as_str()) {
            ("exited", _) => format!("exited with {}", self.exit_code),
            ("running", "") => "running".to_owned(),
            ("running", health) => health.to_owned(),
            (state, _) => state.to_owned(),
        }
    }
}
