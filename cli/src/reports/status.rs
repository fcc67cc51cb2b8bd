//! The report of `status`.

use std::net::Ipv4Addr;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use super::Digest;
use super::agent::InstalledAgent;
use crate::guest::disk::Disk;
use crate::guest::facts::Certificate;
use crate::guest::ports::ForwardedPort;
use crate::guest::probe::{Difference, Guest};
use crate::guest::service::Condition;
use crate::guest::storage::Volume;
use crate::settings::Settings;

/// The result of `status`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Status<'a> {
    /// The state of the workspace in one word.
    #[cfg_attr(test, schemars(extend("enum" = [
        "absent", "deleted", "stopped", "stuck", "provisioning", "provisioning failed", "incomplete", "outdated",
        "starting", "running",
    ])))]
    pub(crate) workspace: &'static str,
    /// The workspace, in the form of `--name`.
    pub(crate) name: &'a str,
    /// The state of the VM in Multipass's terms; null without a VM.
    pub(crate) machine: Option<&'a str>,
    /// The versions of the programs.
    pub(crate) versions: ProgramVersions<'a>,
    /// The contents of the VM; null unless it is running.
    pub(crate) guest: Option<RunningVm<'a>>,
    /// The next command.
    pub(crate) next: &'a str,
    /// The settings that have a value, by name.
    pub(crate) settings: &'a Settings,
}

/// Versions of programs; null if unknown. Docker and Sysbox are only queried in a running VM.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct ProgramVersions<'a> {
    pub(crate) polis: &'static str,
    pub(crate) multipass: Option<&'a str>,
    pub(crate) docker: Option<&'a str>,
    pub(crate) sysbox: Option<&'a str>,
}

/// The contents of a running VM.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct RunningVm<'a> {
    /// The IPv4 address of the VM; null if unknown.
    pub(crate) address: Option<Ipv4Addr>,
    /// The number of pending blocked requests, at most 250; null if unknown.
    pub(crate) pending_approvals: Option<u64>,
    /// The stack's certificates, without unreadable ones.
    pub(crate) certificates: &'a [Certificate],
    /// The status that cloud-init reports, such as `running` or `done`.
    pub(crate) cloud_init: &'a str,
    /// Whether the VM is completely provisioned.
    pub(crate) provisioned: bool,
    /// Whether this version of polis would provision it in the same way.
    pub(crate) provisioned_by_this_version: bool,
    /// The digest of the installed bundle; null if there is none.
    pub(crate) bundle: Option<Digest>,
    /// The installed agents.
    pub(crate) agents: Vec<InstalledAgent<'a>>,
    /// The ports at the VM's address that are forwarded to the workspace.
    pub(crate) ports: Vec<ForwardedPort>,
    /// Whether certificates and secrets exist.
    pub(crate) secrets: bool,
    /// Whether a start has completed.
    pub(crate) complete: bool,
    /// The images of the stack.
    pub(crate) images: ImageCount,
    /// The services of the stack.
    pub(crate) services: Vec<ServiceState>,
    /// How the workspace's container differs from what Compose would create now; null if it does not.
    pub(crate) workspace_differs: Option<Difference>,
    /// The usage of the VM's disk; null if unknown.
    pub(crate) disk: Option<Disk>,
    /// The volumes of the stack.
    pub(crate) volumes: &'a [Volume],
}

/// How many images of the stack are in the VM.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct ImageCount {
    /// The number of images that exist.
    pub(crate) found: u32,
    /// The number of images that the stack needs.
    pub(crate) needed: u32,
}

/// A service of the stack.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct ServiceState {
    /// Its name in the compose file.
    name: String,
    /// The state as Docker reports it, such as `healthy` or `exited with 1`.
    state: String,
    /// Whether it needs no attention.
    well: bool,
}

/// The services of the stack.
pub(crate) fn services(guest: &Guest) -> Vec<ServiceState> {
    let services = guest.services.iter().map(|service| ServiceState {
        name: service.name.clone(),
        state: service.words(),
        well: service.condition() == Condition::Healthy,
    });
    services.collect()
}
