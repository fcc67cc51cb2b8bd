//! `check` on the tree, and on copies of it with one defect each.

mod rules;

use expect_test::expect;
use xtask_testkit::{AFTER_WAIVERS, Ran, Tree, has_part};

const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";
const COMPOSE: &str = "compose/docker-compose.yml";
const WAIVERS: &str = "compose/pin-waivers.yaml";
const DAY: &str = "2026-11-01";

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
    // As it is, and as the other tests break it.
    for tree in [Tree::as_it_is(), Tree::data()] {
        let ran = check(&tree, &["--format", "json"]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        assert_eq!(ran.findings(), [""; 0]);
    }
}

/// Compose prefers `compose.yaml`, and merges an override file.
#[test]
fn additional_files_that_compose_reads_are_errors() {
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
fn versions_and_waivers_are_checked() {
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
fn a_finding_shows_its_location_and_the_next_step() {
    let tree = Tree::data();
    tree.replace(CLOUD_INIT, "permissions: 0o755", "permissions: '0755'");
    let stack = tree.read(COMPOSE);
    tree.write(COMPOSE, &format!("configs: {{all: {{file: /}}}}\n{stack}"));
    let ran = check(&tree, &[]);
    let findings = ran.stderr.trim_end().split("\n\n");
    let errors: Vec<&str> = findings.filter(|part| part.starts_with("error[")).collect();
    // Line numbers change with the file.
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
            = help: write an octal literal, or omit the key for 0644: Multipass drops the quotes, and cloud-init then reads another number

        error[runcmd]: `runcmd` does not run an executable script of `write_files`
           --> cloud-init/cloud-init.yaml:NNN:5
            |
        NNN |   - [/usr/local/lib/polis/provision.sh]
            |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            |
            = help: write the script with `permissions: 0o755`

        error[sandbox]: `configs` is not allowed at the top level
         --> compose/docker-compose.yml:1:1
          |
        1 | configs: {all: {file: /}}
          | ^^^^^^^
          |
          = help: allowed: `name: polis`, services, networks, volumes, secrets and extension fields"#]].assert_eq(&errors);
}

#[test]
fn the_official_validator_runs_where_it_is_installed() {
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
fn a_missing_file_and_an_invalid_date_have_their_own_errors() {
    let tree = Tree::data();
    std::fs::remove_file(tree.root().join(CLOUD_INIT)).expect("removed");
    expect![[r#"
        exit 1
        --- stderr
        error: `[TREE]/cloud-init/cloud-init.yaml` is missing
          hint: run this from a complete checkout, or name one with --root DIR
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
fn only_selected_files_are_checked() {
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
fn every_script_is_checked_with_locations() {
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

/// A skipped check is a warning, but an error in CI, where warnings go unread.
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

/// `check` and `verify-pins` report the same about pins, including those of workflows.
#[test]
fn check_reports_the_findings_of_verify_pins() {
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
