//! The reports of `security`, except that of `pending`, which is `security::Pending`.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::Level;
use crate::security::{Allowed, Event, Host, Id, Set};

/// The result of `security status`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct SecurityStatus {
    /// The level that applies.
    pub(crate) level: Level,
    /// The configured value; null for the default. An unknown value means balanced.
    pub(crate) set: Option<String>,
    /// The number of pending requests.
    pub(crate) pending: usize,
    /// Whether there are more than were checked.
    pub(crate) more: bool,
    /// The allowed hosts, sorted by name.
    pub(crate) allowed: Vec<Allowed>,
    /// The number of events in the log.
    pub(crate) events: i64,
}

/// The result of `security approve`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Approval<'a> {
    /// False if the user declined.
    pub(crate) changed: bool,
    /// The blocked request.
    pub(crate) id: &'a Id,
    /// The Host header of the request.
    pub(crate) host: &'a Host,
    /// How long the host is allowed.
    pub(crate) seconds: u32,
}

/// The result of `security deny`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Denial<'a> {
    /// The blocked request.
    pub(crate) id: &'a Id,
    /// Its Host header; null for a request that cannot be read.
    pub(crate) destination: Option<String>,
}

/// The result of `security allow`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Permission<'a> {
    /// The Host header of the requests.
    pub(crate) host: &'a Host,
    /// How long the host is allowed.
    pub(crate) seconds: u32,
}

/// The result of `security level`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct LevelChange<'a> {
    /// Whether a level was set.
    pub(crate) changed: bool,
    /// The level that applies now.
    pub(crate) level: Level,
    /// The level that applied before.
    pub(crate) before: &'a Set,
}

/// The result of `security log`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct EventLog {
    /// The newest events, oldest first, as logged.
    pub(crate) events: Vec<Event>,
}
