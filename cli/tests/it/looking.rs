//! `status` and `doctor` change nothing, whatever the state of the VM.

use expect_test::expect;
use fake_multipass::{Access, Power, Sandbox};
use std::net::TcpListener;

use crate::support::{document, running, sandbox, seen};

/// Sandboxes with a VM in every possible state.
fn sandboxes() -> Vec<(&'static str, Sandbox)> {
    let mut sandboxes = vec![("absent", sandbox())];
    for (word, power) in [
        ("running", Power::Running),
        ("stopped", Power::Stopped),
        ("stopped", Power::Suspended),
        ("deleted", Power::Deleted),
        ("starting", Power::Starting),
        ("starting", Power::Restarting),
        ("starting", Power::Suspending),
        ("stuck", Power::DelayedShutdown),
        ("starting", Power::Unknown),
    ] {
        let sandbox = running();
        sandbox.set_instance(|instance| instance.power = power);
        sandboxes.push((word, sandbox));
    }
    sandboxes
}

#[test]
fn status_and_doctor_change_nothing() {
    for (word, sandbox) in sandboxes() {
        let status = sandbox.polis(&["status", "--json"]);
        assert_eq!(status.code, Some(0), "{word}: {}", status.seen());
        assert_eq!(document(&status)["result"]["workspace"], word);
        let doctor = sandbox.polis(&["doctor", "--json"]);
        document(&doctor);
        assert_eq!(sandbox.mutations(), [] as [String; 0], "{word}");
        assert_eq!(sandbox.refused(), [] as [String; 0], "{word}");
        // Running a command in a stopped VM would start it.
        if word != "running" {
            assert!(sandbox.calls_of("exec").is_empty(), "{word}");
        }
    }
}

#[test]
fn status_shows_the_services_and_the_source_of_each_setting() {
    let sandbox = running();
    let config = sandbox.home().join(".config/polis");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.toml"), "memory = \"6G\"\n").unwrap();
    let ran = sandbox.polis_with(&["status", "--json"], &[("POLIS_CPUS", "2")]);
    let settings = &document(&ran)["result"]["settings"];
    assert_eq!(settings["memory"]["value"], "6G");
    assert_eq!(settings["memory"]["origin"], "file");
    assert_eq!(settings["cpus"]["origin"], "environment");
    assert_eq!(settings["disk"]["origin"], "default");
    let shown = sandbox.polis(&["status"]);
    // The services and volumes come from the compose file.
    let [services, volumes] = ["services", "volumes"].map(stack);
    let listed = |name: &&String| {
        let line = |line: &&str| line.trim_start().split(' ').next() == Some(name.as_str());
        let lines: Vec<&str> = shown.stdout.lines().filter(line).collect();
        lines.iter().any(|line| line.starts_with("  "))
    };
    assert!(services.len() > 8 && volumes.len() > 2);
    assert_eq!(services.iter().filter(listed).count(), services.len());
    assert_eq!(volumes.iter().filter(listed).count(), volumes.len());
    expect![[r#"
        exit 0
        --- stdout
        workspace  running
        vm         Running
        address    10.87.112.23
          state-init     exited with 0
          workspace      healthy
        volumes
          workspace-home   [SIZE]
        vm disk    18% full, 32.8 GiB free
        approvals  unknown
        settings
        next       polis shell
    "#]]
    .assert_eq(&without_lists(&seen(&shown)));
}

/// The keys of a section of our compose file.
fn stack(part: &str) -> Vec<String> {
    let text = include_str!("../../../compose/docker-compose.yml");
    let begin = format!("\n{part}:\n");
    let section = text.split(&begin).nth(1).unwrap_or_default().lines();
    section
        .take_while(|line| line.is_empty() || line.starts_with([' ', '#']))
        .filter_map(|line| line.strip_prefix("  ")?.split_once(':'))
        .filter(|(name, _)| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Keeps one service, one init container and one volume of the lists, and drops what changes with each version and day.
fn without_lists(seen: &str) -> String {
    let changes = ["versions ", "certs "];
    let kept = ["  workspace ", "  state-init ", "  workspace-home "];
    let lines = seen
        .lines()
        .filter(|line| !changes.iter().any(|label| line.starts_with(label)))
        .filter(|line| !line.starts_with("  ") || kept.iter().any(|name| line.starts_with(name)));
    without_sizes(&lines.map(|line| format!("{line}\n")).collect::<String>())
}

/// Masks sizes, because that of an empty folder depends on the file system.
fn without_sizes(seen: &str) -> String {
    let shown = |line: &str| match line.rsplitn(3, ' ').collect::<Vec<_>>().as_slice() {
        [unit, _, name] if unit.ends_with('B') => format!("{name} [SIZE]\n"),
        _ => format!("{line}\n"),
    };
    seen.lines().map(shown).collect()
}

#[test]
fn status_and_doctor_report_a_disk_that_is_nearly_full() {
    let sandbox = running();
    for (used, word, verdict) in [
        ((84, 3), None, "ok"),
        ((85, 3), Some("warning"), "warn"),
        ((40, 95), Some("error"), "fail"),
    ] {
        sandbox.set(|state| state.disk_used = used);
        let status = sandbox.polis(&["status"]).stdout;
        for known in ["warning", "error"] {
            let says = status.lines().any(|line| line.starts_with(known));
            assert_eq!(says, word == Some(known), "{used:?}\n{status}");
        }
        let status = document(&sandbox.polis(&["status", "--json"]));
        assert_eq!(status["result"]["guest"]["disk"]["space"], used.0);
        assert_eq!(status["result"]["guest"]["disk"]["inodes"], used.1);
        let doctor = document(&sandbox.polis(&["doctor", "--json"]));
        let checks = doctor["result"]["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "vm-disk");
        assert_eq!(check.unwrap()["verdict"], verdict, "{used:?}");
    }
    assert_eq!(sandbox.mutations(), [] as [String; 0]);
}

#[test]
fn status_measures_the_volumes() {
    let sandbox = running();
    let data = "/var/lib/docker/volumes/polis_workspace-home/_data/data";
    sandbox.write_guest(data, &"x".repeat(3_000_000));
    let status = document(&sandbox.polis(&["status", "--json"]));
    let volumes = status["result"]["guest"]["volumes"].as_array().unwrap();
    let bytes = |name: &str| {
        let volume = volumes.iter().find(|volume| volume["name"] == name);
        volume.unwrap()["bytes"].as_u64().unwrap()
    };
    assert!(bytes("workspace-home") >= 3_000_000, "{volumes:?}");
    assert!(bytes("state-data") < 100_000, "{volumes:?}");
}

/// Runs `doctor` with this listener in place of the download hosts; drops checks that depend on the machine that runs the
/// test.
fn doctor(sandbox: &Sandbox) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("its address").to_string();
    let ran = sandbox.polis_with(&["doctor"], &[("POLIS_DOWNLOAD_HOSTS", &host)]);
    let local = ["disk ", "memory ", "virtualisation ", "known-trouble "];
    let mut kept = String::new();
    let mut skipping = false;
    for line in ran.seen().replace(&host, "[HOST]").lines() {
        let check = line.get(6..).unwrap_or_default();
        skipping = local.iter().any(|name| check.starts_with(name))
            || (skipping && check.starts_with("       "));
        if !skipping && !line.starts_with("exit") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn doctor_runs_all_checks() {
    expect![[r#"
        --- stdout
        ok    installed       [SANDBOX]/bin/multipass
        ok    version         1.16.3
        ok    daemon          it answers
        ok    authenticated   this user has access
        ok    instance        the VM is Running
        ok    vm-disk         18% full, 32.8 GiB free
        ok    architecture    amd64
        ok    network         [HOST]
    "#]]
    .assert_eq(&doctor(&running()));
}

#[test]
fn doctor_proposes_a_fix_for_each_failure() {
    let sandbox = sandbox();
    sandbox.set(|state| state.access = Access::Unauthenticated);
    expect![[r#"
        --- stdout
        ok    installed       [SANDBOX]/bin/multipass
        ok    version         1.16.3
        ok    daemon          it answers
        FAIL  authenticated   Multipass has not authenticated this user: the user who set it up must grant access: list failed: The client is not authenticated with the Multipass service.; Please use 'multipass authenticate' before proceeding.
                              fix: multipass authenticate
        -     instance        the daemon does not answer
        -     vm-disk         the daemon does not answer
        ok    architecture    amd64
        ok    network         [HOST]
    "#]].assert_eq(&doctor(&sandbox));
    sandbox.set(|state| {
        state.access = Access::Down;
        state.client = "1.15.1".to_owned();
    });
    expect![[r#"
        --- stdout
        ok    installed       [SANDBOX]/bin/multipass
        FAIL  version         Multipass's client is version 1.15.1; 1.16.0 or newer is needed
                              fix: sudo snap refresh multipass
        FAIL  daemon          Multipass's daemon does not answer: list failed: cannot connect to the multipass socket
                              fix: sudo snap restart multipass
        -     authenticated   the daemon does not answer
        -     instance        the daemon does not answer
        -     vm-disk         the daemon does not answer
        ok    architecture    amd64
        ok    network         [HOST]
    "#]].assert_eq(&doctor(&sandbox));
    let deleted = running();
    deleted.set_instance(|instance| instance.power = Power::Deleted);
    expect![[r#"
        --- stdout
        ok    installed       [SANDBOX]/bin/multipass
        ok    version         1.16.3
        ok    daemon          it answers
        ok    authenticated   this user has access
        FAIL  instance        the VM `polis` is deleted, and its name is still taken
                              fix: multipass recover polis, then: polis start   (recovers it); polis delete --purge, then: polis start   (to start over; everything in it is lost)
        -     vm-disk         no VM is running
        ok    architecture    amd64
        ok    network         [HOST]
    "#]]
    .assert_eq(&doctor(&deleted));
    sandbox.uninstall();
    expect![[r#"
        --- stdout
        FAIL  installed       Multipass is not installed
                              fix: sudo snap install multipass
        -     version         Multipass is not installed
        -     daemon          Multipass is not installed
        -     authenticated   the daemon does not answer
        -     instance        the daemon does not answer
        -     vm-disk         the daemon does not answer
        ok    architecture    amd64
        ok    network         [HOST]
    "#]]
    .assert_eq(&doctor(&sandbox));
}

#[test]
fn doctor_fails_when_a_host_cannot_be_reached() {
    let sandbox = running();
    // A port that was free a moment ago, so connections to it are refused.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let ran = sandbox.polis_with(&["doctor", "--json"], &[("POLIS_DOWNLOAD_HOSTS", &free)]);
    assert_eq!(ran.code, Some(1), "{}", ran.seen());
    let document = document(&ran);
    let checks = document["result"]["checks"].as_array().unwrap();
    let network = checks
        .iter()
        .find(|check| check["name"] == "network")
        .unwrap();
    assert_eq!(network["verdict"], "fail");
}
