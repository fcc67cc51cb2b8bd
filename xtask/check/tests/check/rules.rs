//! Every rule fails on a copy of the tree that breaks it.

use xtask_testkit::Tree;

use super::{CLOUD_INIT, COMPOSE, broken, check};

const SHA: &str =
    "SYSBOX_SHA256_ARM64=04ca894ae0b53f0fa54eaacc173ce40363c9a95ea5450f773716a84ef650a69b";

/// A text of the cloud-init file, its replacement, and the rules that must then fail.
const CLOUD_INIT_CASES: [(&str, &str, &[&str]); 26] = [
    ("# No `hostname`", "# No\u{7} `hostname`", &["plain-text"]),
    ("# No `hostname`", "---\n# No `hostname`", &["plain-yaml"]),
    (
        "package_update: true",
        "package_update: !x true",
        &["plain-yaml"],
    ),
    (
        "package_update: true",
        "package_update: &a.b true",
        &["plain-yaml"],
    ),
    (
        "package_update: true",
        "package_update: true\n<<: x",
        &["plain-yaml"],
    ),
    (
        "#cloud-config\n",
        "#cloudconfig\n",
        &["cloud-config-header"],
    ),
    (
        "manage_etc_hosts: true",
        "hostname: polis-vm",
        &["unwanted-key"],
    ),
    (
        "manage_etc_hosts: true",
        "fqdn: polis.vm",
        &["unwanted-key"],
    ),
    (
        "manage_etc_hosts: true",
        "users: [default]",
        &["unwanted-key"],
    ),
    (
        "manage_etc_hosts: true",
        "groups: [docker]",
        &["unwanted-key"],
    ),
    (
        "manage_etc_hosts: true",
        "manage_etc_host: true",
        &["schema"],
    ),
    ("  - rsync\n", "", &["packages-differ"]),
    ("  - rsync\n", "  - rsync\n  - docker.io\n", &["docker-io"]),
    (
        "docker-ce docker-ce-cli",
        "docker.io docker-ce-cli",
        &["docker-io"],
    ),
    (
        "permissions: 0o755",
        "permissions: '0755'",
        &["permissions", "runcmd"],
    ),
    ("permissions: 0o755", "permissions: 493", &["permissions"]),
    (
        "permissions: 0o755",
        "permissions: 0o644",
        &["runcmd", "schema"],
    ),
    (
        "\"userland-proxy\": false,",
        "\"live-restore\": true,",
        &["live-restore"],
    ),
    (
        "\"userland-proxy\": false,",
        "\"userland-proxy\": false",
        &["daemon-json"],
    ),
    (
        "  - [/usr/local/lib/polis/provision.sh]",
        "  - [/usr/local/lib/polis/other.sh]",
        &["runcmd"],
    ),
    (
        "  - [/usr/local/lib/polis/provision.sh]",
        "  - [/usr/local/lib/polis/provision.sh]\n  - echo done",
        &["runcmd"],
    ),
    (SHA, "", &["pins-missing"]),
    ("{PIN[YQ_URL_$ARCH]", "{YQ[URL_$ARCH]", &["pins-malformed"]),
    (SHA, "SYSBOX_SHA256_ARM64=04ca894a", &["pins-malformed"]),
    (
        "/etc/polis/pins.env\n    content",
        "/etc/polis/pin.env\n    content",
        &["pins-missing"],
    ),
    (
        "package_upgrade: false",
        "\tpackage_upgrade: false",
        &["yaml-tab"],
    ),
];

/// A service without settings.
const BARE: &str = "services:\n  bare: {image: x}\n";

/// A text of the compose file, its replacement, and the rule that must then fail.
const STACK_CASES: [(&str, &str, &str); 21] = [
    ("  cap_drop: [ALL]\n", "", "cap-drop"),
    (
        "  security_opt: [\"no-new-privileges:true\"]\n",
        "",
        "no-new-privileges",
    ),
    ("  read_only: true\n", "", "read-only"),
    ("services:\n", BARE, "memory-limit"),
    ("services:\n", BARE, "pids-limit"),
    (
        "  certgen:\n",
        "  certgen:\n    privileged: true\n",
        "sandbox",
    ),
    (
        "  certgen:\n",
        "  certgen:\n    network_mode: host\n",
        "sandbox",
    ),
    ("  certgen:\n", "  certgen:\n    pid: host\n", "sandbox"),
    (
        "  certgen:\n",
        "  certgen:\n    devices: [/var/run/docker.sock]\n",
        "docker-socket",
    ),
    ("  restart: unless-stopped\n", "", "restart"),
    ("  restart: \"no\"\n", "  restart: always\n", "restart"),
    (
        "    driver: json-file\n",
        "    driver: syslog\n",
        "log-limit",
    ),
    (
        "    healthcheck:\n      # Assumes the image has CoreDNS",
        "    x-healthcheck:\n      # Assumes the image has CoreDNS",
        "healthcheck",
    ),
    ("    enable_ipv6: false\n", "", "sandbox-missing"),
    (
        "./config/resolver/Corefile:",
        "./config/resolver/Corfile:",
        "mount-missing",
    ),
    (
        "ghcr.io/odralabshq/polis-gate-oss:v0.4.0",
        "dhi.io/alpine-base:3.23-dev",
        "dhi-at-run-time",
    ),
    (
        "ghcr.io/odralabshq/polis-gate-oss:v0.4.0",
        "ghcr.io/odralabshq/polis-gate-oss:v0.4.1",
        "unpinned-image",
    ),
    (
        "ghcr.io/odralabshq/polis-gate-oss:v0.4.0",
        "ghcr.io/odralabshq/polis-gate-oss:${GATE:-latest}",
        "image-reference",
    ),
    (
        "ghcr.io/odralabshq/polis-gate-oss:v0.4.0",
        "ghcr.io/odralabshq/polis-gate-oss:v0.4.0@sha256:abc",
        "image-reference",
    ),
    (
        "ghcr.io/odralabshq/polis-init-oss:v0.5.0",
        "ghcr.io/odralabshq/polis-init-oss:v0.4.9",
        "version",
    ),
    ("services:\n", "services: [\n", "yaml-syntax"),
];

#[test]
fn every_rule_on_the_cloud_init_file_can_fail() {
    for (from, to, rules) in CLOUD_INIT_CASES {
        let mut found = broken(CLOUD_INIT, from, to);
        found.sort();
        found.dedup();
        for rule in rules {
            assert!(
                found.iter().any(|found| found == rule),
                "{from:?} -> {to:?}: {found:?}, expected {rules:?}"
            );
        }
    }
}

#[test]
fn every_rule_on_the_stack_can_fail() {
    for (from, to, rule) in STACK_CASES {
        let found = broken(COMPOSE, from, to);
        assert!(
            found.iter().any(|found| found == rule),
            "{from:?} -> {to:?}: {found:?}, expected {rule}"
        );
    }
}

/// The consequences of an unreadable image are not reported.
#[test]
fn a_malformed_digest_is_one_finding() {
    let found = broken(COMPOSE, "polis-gate-oss:", "polis-gate-oss:x@sha256:zz");
    assert_eq!(found, ["image-reference"]);
}

/// A service without the shared settings causes one finding with the missing line, and others only for what that line
/// does not fix.
#[test]
fn a_service_without_the_shared_settings_is_one_finding() {
    let tree = Tree::data();
    tree.replace(COMPOSE, "  certgen:\n    <<: *service\n", "  certgen:\n");
    let ran = check(&tree, &["--format", "json", "--no-shell"]);
    let findings = ran.report()["findings"].clone();
    let errors = findings.as_array().into_iter().flatten();
    let errors: Vec<_> = errors
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| [&finding["rule"], &finding["message"], &finding["help"]])
        .collect();
    let expected = [
        "shared-settings",
        "service `certgen` lacks `cap_drop`, `security_opt`, `read_only`, `restart`, `sysctls`, `init`, `logging`",
        "write `<<: *service` as its first line",
    ];
    assert_eq!(errors, [expected]);
}

#[test]
fn the_summary_counts_in_singular_and_plural() {
    let tree = Tree::data();
    let image = "ghcr.io/odralabshq/polis-gate-oss:v0.4.0";
    tree.replace(COMPOSE, image, &format!("{image}@sha256:abc"));
    let ran = check(&tree, &["--no-shell"]);
    assert!(ran.stdout.starts_with("1 error, "), "{}", ran.seen());
}
