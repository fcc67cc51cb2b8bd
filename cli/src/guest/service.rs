//! The services of the stack, as Docker reports them.

/// A service of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// Docker's state of its container; `missing` if there is none.
    pub(crate) state: String,
    /// Docker's health of its container; empty without a health check.
    pub(crate) health: String,
    /// Its exit code, if it has ended.
    pub(crate) exit_code: i32,
}

/// What a service needs.
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
    /// Whether it runs once and exits. The stack's names say so, which a test checks.
    pub(crate) fn is_init(&self) -> bool {
        self.name.ends_with("-init")
    }

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

    /// The state as text.
    pub(crate) fn words(&self) -> String {
        match (self.state.as_str(), self.health.as_str()) {
            ("exited", _) => format!("exited with {}", self.exit_code),
            ("running", "") => "running".to_owned(),
            ("running", health) => health.to_owned(),
            (state, _) => state.to_owned(),
        }
    }
}
