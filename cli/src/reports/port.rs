//! The reports of `port`.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use crate::guest::ports::ForwardedPort;

/// The result of `port list`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct PortList {
    /// The ports at the VM's address that are forwarded to the workspace.
    pub(crate) ports: Vec<ForwardedPort>,
}

/// The result of `port add` and `port remove`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct PortChange {
    /// The port that was opened or closed.
    pub(crate) port: u16,
    /// The ports at the VM's address that are forwarded to the workspace now.
    pub(crate) ports: Vec<ForwardedPort>,
}
