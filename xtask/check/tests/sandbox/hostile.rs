//! Attempts to break out of the sandbox by editing the compose file. Each must be found.

use xtask_check::stack;

use crate::edits::{node, put, remove, shipped};

/// A path, and the value to put there.
const PUT: &[(&str, &str)] = &[
    // Networks.
    ("services/workspace/networks/external-bridge", "{}"),
    ("services/workspace/networks/gateway-bridge", "{}"),
    ("services/workspace/networks/internet", "{}"),
    ("services/certgen/networks/external-bridge", "{}"),
    ("services/scanner/networks/internet", "{}"),
    ("services/freshclam/networks/gateway-bridge", "{}"),
    ("services/scanner/volumes/+", "scanner-db:/var/lib/clamav"),
    ("services/toolbox/sysctls/net.ipv4.ip_forward", "\"1\""),
    ("services/gate/sysctls/net.ipv6.conf.all.disable_ipv6", "0"),
    ("services/host-init/command", "bridge-accept polis-internal"),
    (
        "services/toolbox/networks",
        "[internal-bridge, gateway-bridge, external-bridge]",
    ),
    ("services/workspace/networks", "[]"),
    (
        "services/workspace/networks/internal-bridge",
        "{aliases: [toolbox]}",
    ),
    (
        "services/workspace/networks/internal-bridge",
        "{ipv4_address: 10.10.1.2}",
    ),
    (
        "services/gate/networks/internal-bridge/ipv4_address",
        "10.10.1.11",
    ),
    ("services/workspace/network_mode", "host"),
    ("services/workspace/network_mode", "\"service:gate\""),
    (
        "services/workspace/network_mode",
        "\"container:polis-gate\"",
    ),
    ("services/state-init/network_mode", "bridge"),
    ("services/scanner-init/network_mode", "host"),
    ("services/workspace/network_mode", "${MODE:-host}"),
    (
        "services/workspace/extra_hosts",
        "[\"host.docker.internal:host-gateway\"]",
    ),
    ("services/workspace/links", "[state]"),
    ("services/workspace/external_links", "[other]"),
    ("services/workspace/ports", "[\"0.0.0.0:22:22\"]"),
    (
        "services/state/ports",
        "[{target: 6379, published: 6379, mode: host}]",
    ),
    ("services/workspace/dns", "[10.10.1.2, 1.1.1.1]"),
    ("services/workspace/dns_search", "[example.org]"),
    ("services/workspace/mac_address", "02:42:0a:0a:01:0a"),
    ("networks/internal-bridge/internal", "false"),
    ("networks/gateway-bridge/internal", "false"),
    ("networks/internal-bridge/attachable", "true"),
    ("networks/internal-bridge/driver", "macvlan"),
    ("networks/external-bridge/driver", "host"),
    ("networks/internal-bridge/external", "true"),
    ("networks/internal-bridge/name", "bridge"),
    ("networks/internal-bridge/enable_ipv6", "true"),
    (
        "networks/internal-bridge/driver_opts/com.docker.network.bridge.inhibit_ipv4",
        "\"false\"",
    ),
    (
        "networks/internal-bridge/driver_opts/com.docker.network.bridge.gateway_mode_ipv4",
        "nat",
    ),
    (
        "networks/internal-bridge/ipam/config",
        "[{subnet: 10.10.1.0/24, gateway: 10.10.1.10}]",
    ),
    ("networks/other", "{driver: bridge, enable_ipv6: false}"),
    // Capabilities and other kernel privileges.
    ("services/workspace/cap_add", "[ALL]"),
    ("services/gate/cap_add/+", "SYS_ADMIN"),
    ("services/gate/cap_add/+", "${CAP}"),
    ("services/toolbox/privileged", "true"),
    (
        "services/workspace/post_start",
        "[{command: [id], privileged: true, user: root}]",
    ),
    (
        "services/workspace/pre_stop",
        "[{command: [id], privileged: true}]",
    ),
    ("services/workspace/devices", "[/dev/kmsg]"),
    ("services/workspace/device_cgroup_rules", "[\"a *:* rwm\"]"),
    ("services/workspace/gpus", "all"),
    (
        "services/workspace/deploy/resources/reservations/devices",
        "[{capabilities: [gpu]}]",
    ),
    ("services/workspace/cgroup", "host"),
    ("services/workspace/cgroup_parent", "/"),
    ("services/workspace/pid", "host"),
    ("services/workspace/pid", "\"service:gate\""),
    ("services/workspace/pid", "\"container:other\""),
    ("services/workspace/ipc", "host"),
    ("services/workspace/ipc", "\"service:gate\""),
    ("services/workspace/uts", "host"),
    ("services/workspace/userns_mode", "host"),
    ("services/workspace/security_opt/+", "seccomp=unconfined"),
    (
        "services/workspace/security_opt/+",
        "\"seccomp:unconfined\"",
    ),
    ("services/workspace/security_opt/+", "apparmor=unconfined"),
    ("services/workspace/security_opt/+", "label:disable"),
    (
        "services/workspace/security_opt/+",
        "systempaths=unconfined",
    ),
    (
        "services/workspace/security_opt/+",
        "no-new-privileges:false",
    ),
    ("services/resolver/sysctls", "{net.ipv4.ip_forward: 1}"),
    ("services/toolbox/sysctls", "[net.ipv4.ip_forward=1]"),
    (
        "services/workspace/sysctls",
        "{kernel.core_pattern: \"|/x\"}",
    ),
    ("services/workspace/runtime", "runc"),
    ("services/gate/runtime", "io.containerd.runc.v2"),
    ("services/workspace/isolation", "process"),
    ("services/workspace/credential_spec", "{file: x.json}"),
    ("services/workspace/group_add", "[docker]"),
    ("services/workspace/oom_score_adj", "-1000"),
    ("services/workspace/oom_kill_disable", "true"),
    ("services/workspace/storage_opt", "{size: 100G}"),
    ("services/workspace/ulimits", "{core: -1}"),
    ("services/workspace/shm_size", "100g"),
    // Users and commands.
    ("services/resolver/user", "root"),
    ("services/resolver/user", "0"),
    ("services/workspace/user", "\"0:0\""),
    ("services/gate/entrypoint", "[/bin/bash]"),
    ("services/toolbox/entrypoint", "[/bin/bash, -c, id]"),
    ("services/certgen/command", "[bash, -c, id]"),
    ("services/state-init/command", "chown -R 0:0 /data"),
    ("services/host-init/command", "other"),
    ("services/workspace/restart", "\"no\""),
    ("services/gate/read_only", "false"),
    ("services/workspace/use_api_socket", "true"),
    ("services/workspace/container_name", "polis-gate"),
    ("services/workspace/hostname", "gate"),
    ("services/workspace/image", "docker.sock"),
    ("services/toolbox/environment/LD_PRELOAD", "/x.so"),
    ("services/toolbox/environment/RUST_LOG", "~"),
    ("services/toolbox/environment/RUST_LOG", "${SECRET}"),
    ("services/toolbox/env_file", "[.env]"),
    ("services/toolbox/label_file", "x"),
    ("services/toolbox/labels", "{x: y}"),
    (
        "services/toolbox/annotations",
        "{run.oci.keep_original_groups: 1}",
    ),
    ("services/toolbox/provider", "{type: x}"),
    ("services/toolbox/models", "[m]"),
    (
        "services/toolbox/develop",
        "{watch: [{path: /, action: sync, target: /x}]}",
    ),
    ("services/toolbox/extends", "{service: gate}"),
    ("services/toolbox/profiles", "[x]"),
    ("services/toolbox/scale", "2"),
    ("services/toolbox/platform", "linux/arm64"),
    ("services/toolbox/pull_policy", "build"),
    (
        "services/other",
        "{image: \"x:1\", networks: [external-bridge]}",
    ),
    (
        "services/x-other",
        "{image: \"x:1\", networks: [external-bridge]}",
    ),
    ("services/toolbox/environment/NEW", "{}"),
    // Mounts.
    ("services/workspace/volumes/+", "/:/vm"),
    (
        "services/workspace/volumes/+",
        "{type: bind, source: /, target: /vm, bind: {propagation: rshared}}",
    ),
    (
        "services/workspace/volumes/+",
        "./certs/ca/ca.key:/ca.key:ro",
    ),
    (
        "services/workspace/volumes/+",
        "{type: bind, source: ./certs/ca/ca.key, target: /ca.key, read_only: true}",
    ),
    (
        "services/workspace/volumes/+",
        "{type: bind, source: /opt/polis/certs/ca/ca.key, target: /ca.key, read_only: true}",
    ),
    (
        "services/workspace/volumes/+",
        "./config/workspace/../../certs/ca/ca.key:/ca.key:ro",
    ),
    (
        "services/workspace/volumes/+",
        "./config/workspace/${X}:/x:ro",
    ),
    (
        "services/workspace/volumes/+",
        "./config/workspace/init.sh:/x",
    ),
    (
        "services/workspace/volumes/+",
        "./config/workspace/init.sh:/x:rw,shared",
    ),
    (
        "services/workspace/volumes/+",
        "./config/gate/init.sh:/x:ro",
    ),
    ("services/workspace/volumes/+", "./config/workspace:/x:ro"),
    ("services/workspace/volumes/+", "state-data:/state"),
    ("services/workspace/volumes/+", "/anonymous"),
    (
        "services/workspace/volumes/+",
        "/run/docker/containerd/containerd.sock:/x",
    ),
    (
        "services/workspace/volumes/+",
        "{type: tmpfs, target: /x, tmpfs: {mode: 0777}}",
    ),
    (
        "services/workspace/volumes/+",
        "{type: npipe, source: x, target: /x}",
    ),
    ("services/workspace/volumes/+", "~/.ssh:/ssh"),
    ("services/workspace/volumes/+", "${HOME}:/x"),
    ("services/workspace/volumes_from", "[certgen]"),
    ("services/workspace/volumes_from", "[\"container:other\"]"),
    ("services/workspace/tmpfs/+", "/x:exec,suid,dev"),
    ("services/workspace/tmpfs/+", "/usr/bin:mode=0777"),
    ("services/toolbox/tmpfs", "\"/tmp:exec\""),
    (
        "volumes/scanner-db/driver_opts",
        "{type: none, o: bind, device: /}",
    ),
    ("volumes/scanner-db/external", "true"),
    ("volumes/scanner-db/name", "other"),
    ("volumes/scanner-db/driver", "x"),
    ("volumes/other", "{}"),
    // Secrets and configurations.
    ("services/workspace/secrets", "[valkey_mcp_admin_password]"),
    ("services/toolbox/secrets/+", "valkey_mcp_admin_password"),
    (
        "services/toolbox/secrets/+",
        "{source: valkey_users_acl, target: x}",
    ),
    ("services/toolbox/configs", "[x]"),
    (
        "secrets/valkey_mcp_agent_password/file",
        "./secrets/valkey_mcp_admin_password.txt",
    ),
    (
        "secrets/valkey_mcp_agent_password/file",
        "./certs/ca/ca.key",
    ),
    ("secrets/valkey_mcp_agent_password", "{environment: HOME}"),
    ("secrets/valkey_mcp_agent_password", "{external: true}"),
    ("secrets/other", "{file: /etc/shadow}"),
    ("configs/x", "{content: x}"),
    ("configs/x", "{file: /etc/shadow}"),
    // Builds.
    ("services/host-init/build/privileged", "true"),
    ("services/host-init/build/ssh", "[default]"),
    ("services/host-init/build/network", "host"),
    ("services/host-init/build/secrets", "[valkey_users_acl]"),
    (
        "services/host-init/build/entitlements",
        "[security.insecure]",
    ),
    ("services/host-init/build/context", "/"),
    ("services/host-init/build/extra_hosts", "[\"x:1.1.1.1\"]"),
    ("services/workspace/build", "{context: .}"),
    // The file.
    ("include", "[other.yml]"),
    ("models", "{m: {model: x}}"),
    ("name", "other"),
    ("jobs", "{}"),
];

/// Settings that must not be removed.
const REMOVED: &[&str] = &[
    "services/workspace/networks",
    "services/workspace/runtime",
    "services/workspace/dns",
    "services/workspace/tmpfs",
    "services/resolver/user",
    "services/toolbox/user",
    "services/toolbox/sysctls",
    "services/workspace/sysctls",
    "services/sentinel/entrypoint",
    "services/scanner/entrypoint",
    "networks/gateway-bridge/driver_opts",
    "networks/internet/driver_opts",
    "services/host-init/network_mode",
    "services/state-init/network_mode",
    "services/gate/entrypoint",
    "networks/internal-bridge/internal",
    "networks/gateway-bridge/internal",
    "networks/internal-bridge/driver_opts",
    "networks/external-bridge/enable_ipv6",
];

#[test]
fn the_shipped_file_is_allowed() {
    let findings = stack::check(&shipped(), &|_| true);
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn every_hostile_edit_is_found() {
    let mut unnoticed = Vec::new();
    for (path, value) in PUT {
        let mut compose = shipped();
        put(&mut compose.root, path, node(value));
        if stack::check(&compose, &|_| true).is_empty() {
            unnoticed.push(format!("{path}: {value}"));
        }
    }
    for path in REMOVED {
        let mut compose = shipped();
        remove(&mut compose.root, path);
        if stack::check(&compose, &|_| true).is_empty() {
            unnoticed.push(format!("{path} removed"));
        }
    }
    let all = PUT.len() + REMOVED.len();
    assert!(
        unnoticed.is_empty(),
        "{} of {all} edits pass unnoticed:\n{}",
        unnoticed.len(),
        unnoticed.join("\n")
    );
}
