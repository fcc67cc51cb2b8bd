//! The rows of networks, volumes and secrets.

use super::{Common, Row};

/// A bridge network. IPv6 would bypass rules for IPv4.
const BRIDGE: Common = Common {
    must: &["driver bridge", "enable_ipv6 false"],
    may: &["name polis_{name}"],
};

/// The networks. Each one that is not internal has access to the internet.
pub(in crate::sandbox) const NETWORKS: &[Row] = &[
    Row {
        name: "internal-bridge",
        common: &BRIDGE,
        must: &[
            "internal true",
            // The VM has no address on this bridge.
            "driver_opts com.docker.network.bridge.inhibit_ipv4=true",
            // The firewall rules of `host-init` use this name.
            "driver_opts com.docker.network.bridge.name=polis-internal",
            "ipam config.subnet=10.10.1.0/24",
        ],
        may: &[
            "driver_opts com.docker.network.bridge.enable_icc=true",
            "ipam config.ip_range=10.10.1.128/25",
        ],
    },
    Row {
        name: "gateway-bridge",
        common: &BRIDGE,
        must: &[
            "driver_opts com.docker.network.bridge.name=polis-gateway",
            "internal true",
            "ipam config.subnet=10.30.1.0/24",
        ],
        may: &["ipam config.ip_range=10.30.1.128/25"],
    },
    Row {
        name: "external-bridge",
        common: &BRIDGE,
        must: &[
            "driver_opts com.docker.network.bridge.name=polis-external",
            "ipam config.subnet=10.20.1.0/24",
        ],
        may: &["ipam config.ip_range=10.20.1.128/25"],
    },
    // The firewall rules of `host-init` only let it answer.
    Row {
        name: "forward-bridge",
        common: &BRIDGE,
        must: &[
            "driver_opts com.docker.network.bridge.name=polis-forward",
            "driver_opts com.docker.network.bridge.enable_ip_masquerade=false",
        ],
        may: &[],
    },
    Row {
        name: "internet",
        common: &BRIDGE,
        must: &["driver_opts com.docker.network.bridge.name=polis-internet"],
        may: &["driver_opts com.docker.network.bridge.name=polis-internet"],
    },
];

/// A secret, or a volume without options: driver options could mount a directory of the VM.
const OURS: Common = Common {
    must: &[],
    may: &["name polis_{name}"],
};

/// The volumes.
pub(in crate::sandbox) const VOLUMES: &[Row] = &[
    volume("scanner-db"),
    volume("state-data"),
    volume("workspace-home"),
    volume("workspace-root"),
    volume("workspace-docker"),
    Row {
        name: "polis-agent-*",
        common: &OF_AGENTS,
        must: &[],
        may: &[],
    },
];

/// A volume of an agent. Its fixed name keeps it independent of the name of the project.
const OF_AGENTS: Common = Common {
    must: &["name polis-agent-*"],
    may: &[],
};

const fn volume(name: &'static str) -> Row {
    Row {
        name,
        common: &OURS,
        must: &[],
        may: &[],
    }
}

/// The secrets: files that `generate-secrets.sh` creates.
pub(in crate::sandbox) const SECRETS: &[Row] = &[
    secret(
        "valkey_dlp_password",
        &["file ./secrets/valkey_dlp_password.txt"],
    ),
    secret(
        "valkey_reqmod_password",
        &["file ./secrets/valkey_reqmod_password.txt"],
    ),
    secret(
        "valkey_respmod_password",
        &["file ./secrets/valkey_respmod_password.txt"],
    ),
    secret(
        "valkey_mcp_agent_password",
        &["file ./secrets/valkey_mcp_agent_password.txt"],
    ),
    secret(
        "valkey_mcp_admin_password",
        &["file ./secrets/valkey_mcp_admin_password.txt"],
    ),
    secret(
        "valkey_healthcheck_password",
        &["file ./secrets/valkey_healthcheck_password.txt"],
    ),
    secret("valkey_users_acl", &["file ./secrets/valkey_users.acl"]),
];

const fn secret(name: &'static str, must: &'static [&'static str]) -> Row {
    Row {
        name,
        common: &OURS,
        must,
        may: &[],
    }
}
