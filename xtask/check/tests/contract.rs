//! The contracts of the images, and the findings of `check` about the compose file by them.

use xtask_check::schema::Schema;
use xtask_host::source::Source;
use xtask_pins::{contract, yaml};
use xtask_testkit::{Ran, Tree, repository};

/// Editors read the schema, but the strict reader decides. Both accept the files of the tree.
#[test]
fn the_schema_and_the_reader_accept_every_contract() {
    let root = repository();
    let schema = Source::read(&root, "schemas/image-contract.schema.json").expect("the schema");
    let schema = Schema::parse(&schema).expect("a schema");
    let contracts = contract::load(&root).unwrap_or_else(|error| panic!("{error}"));
    for contract in &contracts {
        let root = yaml::parse(&contract.source).expect("YAML");
        let findings = schema.check(&contract.source, &root);
        assert!(findings.is_empty(), "{}: {findings:#?}", contract.name());
    }
    assert!(!contracts.is_empty());
}

const COMPOSE: &str = "compose/docker-compose.yml";
const DAY: &str = "2026-11-01";

/// A text of a file, its replacement, and a finding that must then exist and name the text.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    // Images and contracts.
    (
        COMPOSE,
        "polis-gate-oss:",
        "polis-gates-oss:",
        "contract-missing",
        "polis-gates-oss",
    ),
    (
        COMPOSE,
        "polis-gate-oss:",
        "polis-gates-oss:",
        "contract-unused",
        "polis-gate-oss",
    ),
    (
        "compose/images/gate.yaml",
        "platforms:",
        "platform:",
        "contract-malformed",
        "`platform`",
    ),
    // Programs of health checks, entry points, commands and scripts.
    (
        COMPOSE,
        "[CMD, /usr/bin/coredns, -plugins]",
        "[CMD, /bin/coredns, -plugins]",
        "contract-program",
        "`/bin/coredns`",
    ),
    (
        COMPOSE,
        "[CMD, /usr/bin/coredns, -plugins]",
        "[CMD-SHELL, /usr/bin/coredns -plugins]",
        "contract-program",
        "`sh`",
    ),
    (
        COMPOSE,
        "[CMD, clamdscan,",
        "[CMD, bash, -c, clamdscan,",
        "contract-program",
        "`bash`",
    ),
    (
        COMPOSE,
        "[CMD, clamdscan,",
        "[CMD, timeout, '5', clamscan,",
        "contract-program",
        "`clamscan`",
    ),
    (
        COMPOSE,
        "systemctl is-active",
        "systemctl is-active x | gawk 1 && systemctl is-active",
        "contract-program",
        "`gawk`",
    ),
    (
        COMPOSE,
        "c-icap-client -i",
        "grep -i",
        "contract-program",
        "`grep`",
    ),
    (
        COMPOSE,
        "entrypoint: [valkey-server]",
        "entrypoint: [redis-server]",
        "contract-program",
        "`redis-server`",
    ),
    (
        COMPOSE,
        "entrypoint: [/init.sh]",
        "entrypoint: [/start.sh]",
        "contract-program",
        "`/start.sh`",
    ),
    (
        "compose/config/state/health.sh",
        "#!/bin/sh",
        "#!/bin/zsh",
        "contract-program",
        "`/bin/zsh`",
    ),
    (
        "compose/config/state/health.sh",
        "answer=$(valkey-cli",
        "answer=$(redis-cli",
        "contract-program",
        "`redis-cli`",
    ),
    (
        "compose/config/state/health.sh",
        "[ \"$answer\"",
        "echo \"$answer\" | grep -q PONG || [ \"$answer\"",
        "contract-program",
        "`grep`",
    ),
    (
        "compose/config/gate/init.sh",
        "    nft -f -",
        "    iptables-restore",
        "contract-program",
        "`iptables-restore`",
    ),
    (
        "compose/config/gate/init.sh",
        "-- g3proxy -c",
        "-- g3prox -c",
        "contract-program",
        "`g3prox`",
    ),
    (
        "compose/config/gate/health.sh",
        "bash -c 'exec 3<>",
        "bash -c 'ncat; exec 3<>",
        "contract-program",
        "`ncat`",
    ),
    (
        "compose/config/gate/health.sh",
        "nft list table",
        "if nft list table",
        "contract-program",
        "syntax error",
    ),
    (
        "compose/images/gate.yaml",
        " setpriv,",
        "",
        "contract-program",
        "`setpriv`",
    ),
    // Modules and paths of configuration.
    (
        "compose/config/sentinel/c-icap.conf",
        "/usr/local/lib/c_icap/srv_polis_dlp.so",
        "srv_polis_dlp.so",
        "contract-module",
        "`srv_polis_dlp.so`",
    ),
    (
        "compose/config/sentinel/c-icap.conf",
        "/usr/local/lib/c_icap/srv_polis_dlp.so",
        "/usr/lib/c_icap/srv_polis_dlp.so",
        "contract-path",
        "`/usr/lib/c_icap/srv_polis_dlp.so`",
    ),
    (
        "compose/config/sentinel/c-icap.conf",
        "squidclamav squidclamav.so",
        "squidclamav squid.so",
        "contract-module",
        "`squid.so`",
    ),
    (
        "compose/config/sentinel/c-icap.conf",
        "hash:/etc/c-icap/blocklist.txt",
        "hash:/etc/c-icap/block.txt",
        "contract-path",
        "`/etc/c-icap/block.txt`",
    ),
    (
        "compose/config/scanner/clamd.conf",
        "LocalSocket /run/clamav/",
        "LocalSocket /run/clamd/",
        "contract-path",
        "`/run/clamd/clamd.sock`",
    ),
    (
        "compose/config/state/valkey.conf",
        "dir /data",
        "dir /var/lib/valkey",
        "contract-path",
        "`/var/lib/valkey`",
    ),
    (
        "compose/config/certgen/g3fcgen.yaml",
        "/etc/g3fcgen/ca.key",
        "/etc/g3fcgen/key.pem",
        "contract-path",
        "`/etc/g3fcgen/key.pem`",
    ),
    (
        "compose/config/gate/init.sh",
        "CONFIG=/etc/g3proxy/g3proxy.yaml",
        "CONFIG=/etc/g3proxy/main.yaml",
        "contract-path",
        "`/etc/g3proxy/main.yaml`",
    ),
    (
        COMPOSE,
        "command: [/etc/valkey/valkey.conf]",
        "command: [/etc/valkey.conf]",
        "contract-path",
        "`/etc/valkey.conf`",
    ),
    (
        COMPOSE,
        "polis_AGENT_TLS_KEY: /etc/toolbox/tls/",
        "polis_AGENT_TLS_KEY: /etc/tls/",
        "contract-path",
        "`/etc/tls/toolbox.key`",
    ),
    (
        COMPOSE,
        "      - /tmp:size=1g,mode=1777\n",
        "",
        "contract-path",
        "`/tmp`",
    ),
    // Mounts.
    (
        COMPOSE,
        "Corefile:/etc/coredns/Corefile",
        "Corefile:/etc/Corefile",
        "contract-mount",
        "`/etc/Corefile`",
    ),
    (
        COMPOSE,
        "squidclamav.conf:/etc/squidclamav.conf",
        "squidclamav.conf:/etc/squid/clamav.conf",
        "contract-mount",
        "`/etc/squid/clamav.conf`",
    ),
    (
        COMPOSE,
        "target: /etc/toolbox/tls/toolbox.pem",
        "target: /etc/toolbox/toolbox.pem",
        "contract-mount",
        "`/etc/toolbox/toolbox.pem`",
    ),
    (
        COMPOSE,
        "- state-data:/data\n    secrets",
        "- state-data:/state\n    secrets",
        "contract-mount",
        "`/state`",
    ),
    (
        COMPOSE,
        "      - valkey_dlp_password\n",
        "      - {source: valkey_dlp_password, target: dlp}\n",
        "contract-mount",
        "`/run/secrets/dlp`",
    ),
    // Directories that must be writable.
    (
        COMPOSE,
        "      - /run/clamav:size=4m,mode=0755,uid=65532,gid=65532\n",
        "",
        "contract-writable",
        "`/run/clamav`",
    ),
    (
        COMPOSE,
        "- scanner-db:/var/lib/clamav\n      # See gate",
        "- scanner-db:/var/lib/clamav:ro\n      # See gate",
        "contract-writable",
        "`/var/lib/clamav`",
    ),
    (
        COMPOSE,
        "- state-data:/data\n    secrets",
        "- {type: volume, source: state-data, target: /data, read_only: true}\n    secrets",
        "contract-writable",
        "`/data`",
    ),
    // Variables.
    (
        COMPOSE,
        "UDP_LISTEN_ADDR: 10",
        "LISTEN_ADDR: 10",
        "contract-environment",
        "`LISTEN_ADDR`",
    ),
    (
        COMPOSE,
        "POLIS_CLAMD_HOST: scanner",
        "polis_CLAMD_HOST: scanner",
        "contract-environment",
        "`polis_CLAMD_HOST`",
    ),
    (
        COMPOSE,
        "    environment:\n      # g3fcgen takes its address only from here.\n      UDP_LISTEN_ADDR: 10.30.1.7:2999\n",
        "    environment: [LISTEN=1]\n",
        "contract-environment",
        "`LISTEN`",
    ),
    // Platforms.
    (
        "compose/images/gate.yaml",
        "[linux/amd64]",
        "[linux/arm64]",
        "contract-platform",
        "the images have no platform in common",
    ),
    (
        "compose/images/init.yaml",
        "[linux/amd64, linux/arm64]",
        "[linux/arm64]",
        "contract-platform",
        "the images have no platform in common",
    ),
    (
        "docs/polis.md",
        "for `linux/amd64`",
        "for `linux/amd64`, `linux/arm64`",
        "contract-platform",
        "the document",
    ),
    (
        "docs/install.md",
        "The service images are published",
        "They are published",
        "contract-platform",
        "the document",
    ),
];

fn check(tree: &Tree) -> Ran {
    let args = [
        "check",
        "--today",
        DAY,
        "--format",
        "json",
        "--no-shell",
        COMPOSE,
    ];
    tree.run(env!("CARGO_BIN_EXE_xtask-check"), &args)
}

/// The findings as `rule path:line: message`.
fn findings(ran: &Ran) -> Vec<String> {
    let report = ran.report();
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let errors = findings
        .iter()
        .filter(|finding| finding["severity"] == "error");
    let text = |finding: &serde_json::Value, key: &str| {
        finding[key].as_str().unwrap_or_default().to_owned()
    };
    errors
        .map(|finding| {
            let [rule, path, message] = ["rule", "path", "message"].map(|key| text(finding, key));
            format!("{rule} {path}:{}: {message}", finding["line"])
        })
        .collect()
}

#[test]
fn every_rule_on_the_contracts_can_fail() {
    let mut silent = Vec::new();
    for (path, from, to, rule, message) in CASES {
        let tree = Tree::data();
        tree.replace(path, from, to);
        let ran = check(&tree);
        let found = findings(&ran);
        let hit = found
            .iter()
            .any(|finding| finding.starts_with(&format!("{rule} ")) && finding.contains(message));
        if !hit {
            silent.push(format!(
                "{path}: {from:?} -> {to:?}: expected {rule} {message}: {found:#?}"
            ));
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
