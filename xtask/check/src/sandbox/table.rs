//! The table of the sandbox: a row for each service, network, volume and secret.
//!
//! A line is a fact: the key, a space, the value, independent of Compose's spellings. A trailing `*` stands for any
//! text without a variable, `{name}` for the name of the row. A fact without a line is a finding, and so is a missing
//! line of `must`. To grant something new, add a line here, where a reviewer sees it.

mod resources;

pub(super) use resources::{NETWORKS, SECRETS, VOLUMES};

/// The settings of one member. A name with a trailing `*` matches all names that begin with it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The settings of all members of its kind.
    pub(super) common: &'static Common,
    /// Required settings: without them, it could do more.
    pub(super) must: &'static [&'static str],
    /// Allowed settings.
    pub(super) may: &'static [&'static str],
}

/// Settings that rows share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) must: &'static [&'static str],
    pub(super) may: &'static [&'static str],
}

/// A service that keeps running.
const STAYS: Common = Common {
    // A new network namespace inherits `ip_forward` from the VM: a service on two networks could bypass gate. IPv6
    // would bypass rules for IPv4.
    must: &[
        "sysctls net.ipv4.ip_forward=0",
        "sysctls net.ipv6.conf.all.disable_ipv6=1",
        "security_opt seccomp=./config/seccomp.json",
    ],
    may: &[
        "container_name polis-{name}",
        "deploy resources.limits.cpus=*",
        "deploy resources.limits.memory=*",
        "deploy resources.limits.pids=*",
        // Compose adds it, empty, when it merges files.
        "deploy placement",
        "read_only true",
        "restart unless-stopped",
        "security_opt no-new-privileges:true",
        "sysctls net.ipv6.conf.default.disable_ipv6=1",
    ],
};

/// The only service that forwards packets.
const FORWARDS: Common = Common {
    must: &[
        "sysctls net.ipv4.ip_forward=1",
        "sysctls net.ipv6.conf.all.disable_ipv6=1",
        "security_opt seccomp=./config/seccomp.json",
    ],
    may: STAYS.may,
};

/// The agent's workspace, a Sysbox container, which needs more of the kernel.
const MACHINE: Common = Common {
    must: &[
        "sysctls net.ipv4.ip_forward=0",
        "sysctls net.ipv6.conf.all.disable_ipv6=1",
    ],
    may: STAYS.may,
};

/// A service that runs once and exits.
const ENDS: Common = Common {
    must: &["user 0:0"],
    may: &[
        "container_name polis-{name}",
        "deploy resources.limits.cpus=*",
        "deploy resources.limits.memory=*",
        "deploy resources.limits.pids=*",
        "deploy placement",
        "read_only true",
        "restart no",
        "security_opt no-new-privileges:true",
    ],
};

/// The services.
pub(super) const SERVICES: &[Row] = &[
    Row {
        name: "resolver",
        common: &STAYS,
        must: &["user 65532:65532"],
        may: &[
            "networks gateway-bridge",
            "networks gateway-bridge ipv4_address=10.30.1.10",
            "networks internal-bridge",
            "networks internal-bridge ipv4_address=10.10.1.2",
            "networks external-bridge",
            "volumes ro ./config/resolver/*",
        ],
    },
    Row {
        name: "certgen",
        common: &STAYS,
        must: &["user 65532:65532"],
        may: &[
            "environment UDP_LISTEN_ADDR=*",
            "networks gateway-bridge",
            "networks gateway-bridge ipv4_address=10.30.1.7",
            "tmpfs /tmp mode=1777",
            "volumes ro ./config/certgen/*",
            "volumes ro ./certs/ca/ca.pem /etc/g3fcgen/ca.pem",
            // The only container that sees the CA key.
            "volumes ro ./certs/ca/ca.key /etc/g3fcgen/ca.key",
        ],
    },
    Row {
        name: "gate",
        common: &FORWARDS,
        must: &["user 0:0", "entrypoint /init.sh"],
        may: &[
            "cap_add NET_ADMIN",
            "cap_add NET_RAW",
            "cap_add SETGID",
            "cap_add SETUID",
            "networks internal-bridge",
            "networks internal-bridge ipv4_address=10.10.1.10",
            "networks gateway-bridge",
            "networks gateway-bridge ipv4_address=10.30.1.6",
            "networks external-bridge",
            "networks external-bridge ipv4_address=10.20.1.3",
            "sysctls net.ipv4.ip_nonlocal_bind=1",
            "sysctls net.ipv4.conf.all.rp_filter=0",
            "sysctls net.ipv4.conf.default.rp_filter=0",
            "sysctls net.ipv4.conf.all.route_localnet=1",
            "sysctls net.ipv4.conf.default.route_localnet=1",
            "tmpfs /tmp mode=1777",
            "ulimits nofile=*",
            "volumes ro ./config/gate/*",
            "volumes ro ./certs/ca/ca.pem /etc/g3proxy/ssl/ca.pem",
            "volumes ro /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
        ],
    },
    Row {
        name: "sentinel",
        common: &STAYS,
        must: &[
            "user 65532:65532",
            // Looks at what c-icap makes of its configuration.
            "entrypoint /start.sh",
        ],
        may: &[
            "environment polis_VALKEY_HOST=*",
            "environment VALKEY_HOST=*",
            "environment POLIS_CLAMD_HOST=*",
            "environment POLIS_CLAMD_PORT=*",
            "environment POLIS_APPROVAL_DOMAINS=*",
            "environment POLIS_APPROVAL_TIME_GATE_SECS=*",
            "networks gateway-bridge",
            "networks gateway-bridge ipv4_address=10.30.1.5",
            "secrets valkey_dlp_password valkey_dlp_password",
            "secrets valkey_reqmod_password valkey_reqmod_password",
            "secrets valkey_respmod_password valkey_respmod_password",
            "tmpfs /tmp mode=1777",
            "tmpfs /var/log/c-icap mode=0755",
            "tmpfs /run/c-icap mode=0755",
            "volumes ro ./config/sentinel/*",
            "volumes ro ./certs/valkey/ca.crt /etc/valkey/tls/ca.crt",
            "volumes ro ./certs/valkey/client.crt /etc/valkey/tls/client.crt",
            "volumes ro ./certs/valkey/client.key /etc/valkey/tls/client.key",
        ],
    },
    Row {
        name: "scanner",
        common: &STAYS,
        must: &[
            "user 65532:65532",
            // Past the image's entry point, which starts freshclam beside clamd.
            "entrypoint clamd --foreground --config-file=/etc/clamav/clamd.conf",
        ],
        may: &[
            "networks gateway-bridge",
            "tmpfs /tmp mode=1777",
            "tmpfs /run/clamav mode=0755",
            "tmpfs /var/lock mode=1777",
            "tmpfs /var/log/clamav mode=0755",
            "volumes ro ./config/scanner/*",
            "volumes ro scanner-db /var/lib/clamav",
        ],
    },
    Row {
        name: "freshclam",
        common: &STAYS,
        must: &[
            "user 65532:65532",
            "entrypoint freshclam --daemon --foreground --config-file=/etc/clamav/freshclam.conf",
        ],
        may: &[
            "environment CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
            "networks internet",
            "tmpfs /tmp mode=1777",
            "tmpfs /run/clamav mode=0755",
            "tmpfs /var/lock mode=1777",
            "tmpfs /var/log/clamav mode=0755",
            "volumes ro ./config/scanner/*",
            "volumes rw scanner-db /var/lib/clamav",
            "volumes ro /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
        ],
    },
    Row {
        name: "workspace",
        common: &MACHINE,
        must: &[
            "runtime sysbox-runc",
            // Where credentials would lie on a person's machine: closed and empty.
            "tmpfs /root/.ssh mode=0000",
            "tmpfs /root/.aws mode=0000",
            "tmpfs /root/.gnupg mode=0000",
            "tmpfs /root/.config/gcloud mode=0000",
            "tmpfs /root/.kube mode=0000",
            "tmpfs /root/.docker mode=0000",
            "dns 10.10.1.2",
        ],
        may: &[
            "environment NODE_EXTRA_CA_CERTS=*",
            "environment REQUESTS_CA_BUNDLE=*",
            "environment SSL_CERT_FILE=*",
            "hostname workspace",
            "networks internal-bridge",
            "read_only false",
            "tmpfs /run mode=0755",
            "tmpfs /run/lock mode=1777",
            "volumes ro ./config/workspace/*",
            "volumes ro ./certs/ca/ca.pem /usr/local/share/ca-certificates/polis-ca.crt",
            "volumes rw workspace-home /home",
            "volumes rw workspace-root /root",
            "volumes rw workspace-docker /var/lib/docker",
            // The overlay of an agent (`cli/src/agent/overlay.rs`): its directory and its keys, read-only, its own
            // volumes, and more memory.
            "deploy resources.reservations.memory=*",
            "volumes ro ./agents/*",
            "volumes ro ./agent-keys/*",
            "volumes rw polis-agent-*",
        ],
    },
    Row {
        name: "state",
        common: &STAYS,
        must: &[
            "user 65532:65532",
            "entrypoint valkey-server",
            "command /etc/valkey/valkey.conf",
        ],
        may: &[
            "networks gateway-bridge",
            "networks gateway-bridge aliases=valkey",
            "secrets valkey_users_acl valkey_users.acl",
            "secrets valkey_healthcheck_password valkey_healthcheck_password",
            "secrets valkey_mcp_admin_password valkey_mcp_admin_password",
            "tmpfs /tmp mode=1777",
            "volumes ro ./config/state/*",
            "volumes ro ./certs/valkey/ca.crt /etc/valkey/tls/ca.crt",
            "volumes ro ./certs/valkey/server.crt /etc/valkey/tls/server.crt",
            "volumes ro ./certs/valkey/server.key /etc/valkey/tls/server.key",
            "volumes ro ./certs/valkey/client.crt /etc/valkey/tls/client.crt",
            "volumes ro ./certs/valkey/client.key /etc/valkey/tls/client.key",
            "volumes rw state-data /data",
        ],
    },
    Row {
        name: "toolbox",
        common: &STAYS,
        must: &["user 65532:65532"],
        may: &[
            "environment RUST_LOG=*",
            "environment polis_AGENT_*",
            "networks internal-bridge",
            "networks internal-bridge ipv4_address=10.10.1.20",
            "networks gateway-bridge",
            "networks gateway-bridge ipv4_address=10.30.1.20",
            "secrets valkey_mcp_agent_password valkey_mcp_agent_password",
            "tmpfs /tmp mode=1777",
            "volumes ro ./certs/toolbox/toolbox.pem /etc/toolbox/tls/toolbox.pem",
            "volumes ro ./certs/toolbox/toolbox.key /etc/toolbox/tls/toolbox.key",
            "volumes ro ./certs/valkey/ca.crt /etc/valkey/tls/ca.crt",
            "volumes ro ./certs/valkey/client.crt /etc/valkey/tls/client.crt",
            "volumes ro ./certs/valkey/client.key /etc/valkey/tls/client.key",
        ],
    },
    // Created by `scripts/ports.sh` for the first port.
    Row {
        name: "forward",
        common: &STAYS,
        must: &[
            "user 65532:65532",
            // Connects to the workspace only: the range excludes the fixed addresses of the services.
            "command forward --to workspace --within 10.10.1.128/25 *",
            "dns 10.10.1.2",
        ],
        may: &[
            "networks internal-bridge",
            "networks internal-bridge ipv4_address=10.10.1.30",
            "networks forward-bridge",
            "ports at *",
        ],
    },
    Row {
        name: "host-init",
        common: &ENDS,
        must: &[
            "network_mode host",
            "command bridge-accept polis-internal --egress polis-external --egress polis-internet --ingress polis-forward",
        ],
        may: &[
            "build context=../services/init",
            "build dockerfile=Dockerfile",
            "cap_add NET_ADMIN",
        ],
    },
    Row {
        name: "scanner-init",
        common: &ENDS,
        must: &[
            "network_mode none",
            "command chown -R 65532:65532 /var/lib/clamav",
        ],
        may: &[
            "cap_add CHOWN",
            "cap_add DAC_OVERRIDE",
            "volumes rw scanner-db /var/lib/clamav",
        ],
    },
    Row {
        name: "state-init",
        common: &ENDS,
        must: &["network_mode none", "command chown -R 65532:65532 /data"],
        may: &["cap_add CHOWN", "volumes rw state-data /data"],
    },
];
