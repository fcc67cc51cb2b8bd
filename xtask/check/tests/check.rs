//! `check` on the real tree, and on copies of it with one thing broken each: every rule that
//! can fail is shown failing, at its line.

use expect_test::expect;
use xtask_testkit::{AFTER_WAIVERS, Ran, Tree, has_part};

const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";
const COMPOSE: &str = "compose/docker-compose.yml";
const WAIVERS: &str = "compose/pin-waivers.yaml";
const DAY: &str = "2026-11-01";

const SHA: &str =
    "SYSBOX_SHA256_ARM64=04ca894ae0b53f0fa54eaacc173ce40363c9a95ea5450f773716a84ef650a69b";

/// What is replaced in the cloud-init file, by what, and the rules that must then fail.
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

/// A service about which nothing is said.
const BARE: &str = "services:\n  bare: {image: x}\n";

/// What is replaced in the compose file, by what, and the rule that must then fail.
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

fn check(tree: &Tree, more: &[&str]) -> Ran {
    let args = [&["check", "--today", DAY], more].concat();
    tree.run(env!("CARGO_BIN_EXE_xtask-check"), &args)
}

/// Breaks one thing and returns the rules that fail.
fn broken(path: &str, from: &str, to: &str) -> Vec<String> {
    let tree = Tree::data();
    tree.replace(path, from, to);
    let ran = check(&tree, &["--format", "json", "--no-shell"]);
    assert_eq!(ran.code, 1, "{from} -> {to}: {}", ran.seen());
    ran.findings()
        .iter()
        .map(|finding| finding.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_tree_is_fine() {
    // As it is, and in the state in which the other tests break it.
    for tree in [Tree::as_it_is(), Tree::data()] {
        let ran = check(&tree, &["--format", "json"]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        assert_eq!(ran.findings(), [""; 0]);
    }
}

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

/// What follows from an image that cannot be read is not reported beside it.
#[test]
fn a_malformed_digest_is_one_finding() {
    let found = broken(COMPOSE, "polis-gate-oss:", "polis-gate-oss:x@sha256:zz");
    assert_eq!(found, ["image-reference"]);
}

/// Compose prefers `compose.yaml`, and puts an override on top, whoever left them there.
#[test]
fn nothing_that_compose_reads_by_itself_stands_beside_the_file() {
    for name in ["compose.yaml", "docker-compose.override.yml", ".env"] {
        let tree = Tree::data();
        tree.write(&format!("compose/{name}"), "{}\n");
        let ran = check(&tree, &["--format", "json", "--no-shell"]);
        assert_eq!(
            ran.findings(),
            [format!("compose-beside {COMPOSE}:1")],
            "{name}"
        );
    }
}

#[test]
fn versions_and_waivers_must_agree_too() {
    assert_eq!(broken("CHANGELOG.md", "## 0.5.0", "## 0.5.1"), ["version"]);
    assert!(
        broken("Cargo.toml", "version = \"0.5.0\"", "version = \"0.6.0\"")
            .contains(&"version".to_owned())
    );
    assert!(broken(WAIVERS, "reason:", "because:").contains(&"waiver-malformed".to_owned()));
    let tree = Tree::data();
    let ran = tree.run(
        env!("CARGO_BIN_EXE_xtask-check"),
        &["check", "--today", AFTER_WAIVERS, "--format", "json"],
    );
    assert!(
        ran.findings()
            .iter()
            .all(|finding| finding.starts_with("expired-waiver ")),
        "{}",
        ran.seen()
    );
    let waivers = tree.read(WAIVERS).matches("- image: ").count();
    assert_eq!((waivers > 0, ran.findings().len()), (true, waivers));
}

#[test]
fn a_finding_shows_the_place_and_the_way_out() {
    let tree = Tree::data();
    tree.replace(CLOUD_INIT, "permissions: 0o755", "permissions: '0755'");
    let stack = tree.read(COMPOSE);
    tree.write(COMPOSE, &format!("configs: {{all: {{file: /}}}}\n{stack}"));
    let ran = check(&tree, &[]);
    let findings = ran.stderr.trim_end().split("\n\n");
    let errors: Vec<&str> = findings.filter(|part| part.starts_with("error[")).collect();
    // The lines' numbers change with the file.
    let text = tree.read(CLOUD_INIT);
    let number = |wanted: &str| {
        let line = text.lines().position(|line| line.trim() == wanted);
        (line.expect("the line is there") + 1).to_string()
    };
    let errors = errors
        .join("\n\n")
        .replace(&number("permissions: '0755'"), "MMM")
        .replace(&number("- [/usr/local/lib/polis/provision.sh]"), "NNN");
    expect![[r#"
        error[permissions]: `'0755'` is not an octal literal such as `0o755`
           --> cloud-init/cloud-init.yaml:MMM:18
            |
        MMM |     permissions: '0755'
            |                  ^^^^^^
            |
            = help: Multipass drops the quotes and cloud-init then reads another number; leave the key out where 0644 is meant

        error[runcmd]: `runcmd` does not run an executable script of `write_files`
           --> cloud-init/cloud-init.yaml:NNN:5
            |
        NNN |   - [/usr/local/lib/polis/provision.sh]
            |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            |
            = help: write the script with `permissions: 0o755`

        error[sandbox]: `configs` is not allowed at the top of the file
         --> compose/docker-compose.yml:1:1
          |
        1 | configs: {all: {file: /}}
          | ^^^^^^^
          |
          = help: allowed are `name: polis`, services, networks, volumes, secrets and extension fields"#]].assert_eq(&errors);
}

#[test]
fn the_official_validator_is_asked_where_it_is_installed() {
    let tree = Tree::data();
    let bin = tree.root().join("bin");
    std::fs::create_dir(&bin).expect("a directory");
    let program = bin.join("cloud-init");
    std::fs::write(&program, "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'cloud-init 99.1'; exit; }\necho \"E1: $3 is refused\" >&2\nexit 1\n").expect("a script");
    executable(&program);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let ran = tree.run_with(
        env!("CARGO_BIN_EXE_xtask-check"),
        &["check", "--today", DAY, "--format", "json"],
        &[("PATH", &path)],
    );
    assert_eq!(
        ran.findings(),
        ["official-schema cloud-init/cloud-init.yaml:1"]
    );
    let help = ran.report()["findings"][0]["help"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        help.contains("E1: [TREE]/cloud-init/cloud-init.yaml is refused"),
        "{help}"
    );
}

#[cfg(unix)]
fn executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn a_missing_file_and_a_wrong_day_are_errors_of_their_own() {
    let tree = Tree::data();
    std::fs::remove_file(tree.root().join(CLOUD_INIT)).expect("removed");
    expect![[r#"
        exit 1
        --- stderr
        error: `[TREE]/cloud-init/cloud-init.yaml` is missing
          next: run this from a complete checkout, or name one with --root DIR
    "#]]
    .assert_eq(&check(&tree, &[]).seen());
    let ran = tree.run(
        env!("CARGO_BIN_EXE_xtask-check"),
        &["check", "--today", "soon", "--format", "json"],
    );
    assert_eq!(
        (ran.code, ran.report()["outcome"].as_str()),
        (4, Some("usage"))
    );
}

#[test]
fn a_file_that_is_named_is_judged_alone() {
    let tree = Tree::data();
    tree.replace(CLOUD_INIT, "package_update: true\n", "");
    tree.replace(COMPOSE, "restart: unless-stopped", "restart: always");
    let run = |files: &[&str]| {
        let words = ["check", "--no-shell", "--today", DAY, "--format", "json"];
        tree.run(
            env!("CARGO_BIN_EXE_xtask-check"),
            &[&words[..], files].concat(),
        )
    };
    let rules = |ran: &Ran| {
        let findings = ran.findings();
        let has = |rule: &str| findings.iter().any(|finding| finding.starts_with(rule));
        [has("schema"), has("restart")]
    };
    assert_eq!(rules(&run(&[CLOUD_INIT])), [true, false]);
    assert_eq!(rules(&run(&[COMPOSE])), [false, true]);
    assert_eq!(rules(&run(&[CLOUD_INIT, COMPOSE])), [true, true]);
    let ran = run(&["README.md"]);
    assert_eq!(ran.code, 4, "{}", ran.seen());
}

#[test]
fn every_script_is_checked_at_its_place() {
    if !has_part("shellcheck") {
        return;
    }
    let tree = Tree::data();
    tree.replace(
        CLOUD_INIT,
        "        umask 022\n",
        "        umask 022\n        cd $HOME\n",
    );
    tree.replace(
        "compose/config/gate/health.sh",
        "#!/bin/bash\n",
        "#!/bin/bash\nrm -rf \"$1/\"*\n[ $1 = a ]\n",
    );
    let ran = check(&tree, &["--format", "json"]);
    let report = ran.report();
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let excerpts: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["rule"] == "shellcheck")
        .filter_map(|finding| finding["excerpt"].as_str())
        .map(str::trim)
        .collect();
    assert!(excerpts.contains(&"cd $HOME"), "{}", ran.seen());
    assert!(excerpts.contains(&"[ $1 = a ]"), "{}", ran.seen());
    assert_eq!(ran.code, 1, "{}", ran.seen());
}

/// A check that is left out is said so, and is a failure where nobody reads warnings.
#[test]
fn a_missing_shellcheck_is_reported() {
    let tree = Tree::data();
    let run = |env: &[(&str, &str)]| {
        tree.run_with(
            env!("CARGO_BIN_EXE_xtask-check"),
            &["check", "--today", DAY, "--format", "json"],
            env,
        )
    };
    let alone = run(&[("PATH", "/nowhere")]);
    assert_eq!(alone.code, 0, "{}", alone.seen());
    assert!(
        alone.stdout.contains("shellcheck-missing"),
        "{}",
        alone.seen()
    );
    assert_eq!(
        run(&[("PATH", "/nowhere"), ("CI", "true")]).findings(),
        ["shellcheck-missing cloud-init/cloud-init.yaml:1"]
    );
}

/// Both verbs say the same about pins, of workflows too.
#[test]
fn every_finding_of_verify_pins_is_one_of_check() {
    let tree = Tree::data();
    let workflow = ".github/workflows/ci.yml";
    let text = tree.read(workflow);
    let changed = text.replacen(
        "    steps:\n",
        "    steps:\n      - uses: o/r@v1\n      - run: curl u | sh\n",
        1,
    );
    assert_ne!(text, changed);
    tree.write(workflow, &changed);
    let args = ["check", "--no-shell", "--today", DAY, "--format", "json"];
    let checked = tree
        .run(env!("CARGO_BIN_EXE_xtask-check"), &args)
        .findings();
    for (rule, count) in [
        ("unpinned-action", 1),
        ("action-tag", 1),
        ("piped-download", 1),
    ] {
        let found = checked.iter().filter(|finding| finding.contains(rule));
        assert_eq!(found.count(), count, "{rule}: {checked:?}");
    }
}
