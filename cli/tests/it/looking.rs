//! `status` and `doctor` change nothing, whatever there is to look at.

use expect_test::expect;
use fake_multipass::{Access, Power, World};
use std::net::TcpListener;

use crate::support::{document, running, seen, world};

/// Worlds in every state that a VM can be in.
fn worlds() -> Vec<(&'static str, World)> {
    let mut worlds = vec![("absent", world())];
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
        let world = running();
        world.set_instance(|instance| instance.power = power);
        worlds.push((word, world));
    }
    worlds
}

#[test]
fn status_and_doctor_change_nothing() {
    for (word, world) in worlds() {
        let status = world.polis(&["status", "--json"]);
        assert_eq!(status.code, Some(0), "{word}: {}", status.seen());
        assert_eq!(document(&status)["result"]["workspace"], word);
        let doctor = world.polis(&["doctor", "--json"]);
        document(&doctor);
        assert_eq!(world.mutations(), [] as [String; 0], "{word}");
        assert_eq!(world.refused(), [] as [String; 0], "{word}");
        // Entering a VM that does not run starts it.
        if word != "running" {
            assert!(world.calls_of("exec").is_empty(), "{word}");
        }
    }
}

#[test]
fn status_says_how_each_service_is_and_where_each_setting_comes_from() {
    let world = running();
    let config = world.home().join(".config/polis");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.toml"), "memory = \"6G\"\n").unwrap();
    let ran = world.polis_with(&["status", "--json"], &[("POLIS_CPUS", "2")]);
    let settings = &document(&ran)["result"]["settings"];
    assert_eq!(settings["memory"]["value"], "6G");
    assert_eq!(settings["memory"]["origin"], "file");
    assert_eq!(settings["cpus"]["origin"], "environment");
    assert_eq!(settings["disk"]["origin"], "default");
    let shown = world.polis(&["status"]);
    // The compose file says which services and volumes there are.
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

/// The names in a part of our compose file.
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

/// Keeps one service, one init container and one volume of the lists, and leaves out what changes with each version and day.
fn without_lists(seen: &str) -> String {
    let changes = ["versions ", "certs "];
    let kept = ["  workspace ", "  state-init ", "  workspace-home "];
    let lines = seen
        .lines()
        .filter(|line| !changes.iter().any(|label| line.starts_with(label)))
        .filter(|line| !line.starts_with("  ") || kept.iter().any(|name| line.starts_with(name)));
    without_sizes(&lines.map(|line| format!("{line}\n")).collect::<String>())
}

/// Masks sizes: that of an empty folder depends on the file system.
fn without_sizes(seen: &str) -> String {
    let shown = |line: &str| match line.rsplitn(3, ' ').collect::<Vec<_>>().as_slice() {
        [unit, _, name] if unit.ends_with('B') => format!("{name} [SIZE]\n"),
        _ => format!("{line}\n"),
    };
    seen.lines().map(shown).collect()
}

#[test]
fn status_and_doctor_report_a_disk_that_is_nearly_full() {
    let world = running();
    for (used, word, verdict) in [
        ((84, 3), None, "ok"),
        ((85, 3), Some("warning"), "warn"),
        ((40, 95), Some("error"), "fail"),
    ] {
        world.set(|state| state.disk_used = used);
        let status = world.polis(&["status"]).stdout;
        for known in ["warning", "error"] {
            let says = status.lines().any(|line| line.starts_with(known));
            assert_eq!(says, word == Some(known), "{used:?}\n{status}");
        }
        let status = document(&world.polis(&["status", "--json"]));
        assert_eq!(status["result"]["guest"]["disk"]["space"], used.0);
        assert_eq!(status["result"]["guest"]["disk"]["inodes"], used.1);
        let doctor = document(&world.polis(&["doctor", "--json"]));
        let checks = doctor["result"]["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "vm-disk");
        assert_eq!(check.unwrap()["verdict"], verdict, "{used:?}");
    }
    assert_eq!(world.mutations(), [] as [String; 0]);
}

#[test]
fn status_measures_the_volumes() {
    let world = running();
    let data = "/var/lib/docker/volumes/polis_workspace-home/_data/data";
    world.write_guest(data, &"x".repeat(3_000_000));
    let status = document(&world.polis(&["status", "--json"]));
    let volumes = status["result"]["guest"]["volumes"].as_array().unwrap();
    let bytes = |name: &str| {
        let volume = volumes.iter().find(|volume| volume["name"] == name);
        volume.unwrap()["bytes"].as_u64().unwrap()
    };
    assert!(bytes("workspace-home") >= 3_000_000, "{volumes:?}");
    assert!(bytes("state-data") < 100_000, "{volumes:?}");
}

/// Runs `doctor` where its downloads are this listener; what depends on the machine that runs the
/// test is left out.
fn doctor(world: &World) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("its address").to_string();
    let ran = world.polis_with(&["doctor"], &[("POLIS_DOWNLOAD_HOSTS", &host)]);
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
fn doctor_checks_one_thing_after_the_other() {
    expect![[r#"
        --- stdout
        ok    installed       [WORLD]/bin/multipass
        ok    version         1.16.3
        ok    daemon          it answers
        ok    authenticated   this user may use it
        ok    instance        the VM is Running
        ok    vm-disk         18% full, 32.8 GiB free
        ok    architecture    amd64
        ok    network         [HOST]
    "#]]
    .assert_eq(&doctor(&running()));
}

#[test]
fn doctor_tells_what_mends_each_failure() {
    let world = world();
    world.set(|state| state.access = Access::Unauthenticated);
    expect![[r#"
        --- stdout
        ok    installed       [WORLD]/bin/multipass
        ok    version         1.16.3
        ok    daemon          it answers
        FAIL  authenticated   Multipass has not authenticated this user: the user who set it up has to allow others: list failed: The client is not authenticated with the Multipass service.; Please use 'multipass authenticate' before proceeding.
                              fix: multipass authenticate
        -     instance        the daemon does not answer
        -     vm-disk         the daemon does not answer
        ok    architecture    amd64
        ok    network         [HOST]
    "#]].assert_eq(&doctor(&world));
    world.set(|state| {
        state.access = Access::Down;
        state.client = "1.15.1".to_owned();
    });
    expect![[r#"
        --- stdout
        ok    installed       [WORLD]/bin/multipass
        FAIL  version         Multipass's client is version 1.15.1; 1.16.0 or newer is needed
                              fix: sudo snap refresh multipass
        FAIL  daemon          Multipass's daemon does not answer: list failed: cannot connect to the multipass socket
                              fix: sudo snap restart multipass
        -     authenticated   the daemon does not answer
        -     instance        the daemon does not answer
        -     vm-disk         the daemon does not answer
        ok    architecture    amd64
        ok    network         [HOST]
    "#]].assert_eq(&doctor(&world));
    let deleted = running();
    deleted.set_instance(|instance| instance.power = Power::Deleted);
    expect![[r#"
        --- stdout
        ok    installed       [WORLD]/bin/multipass
        ok    version         1.16.3
        ok    daemon          it answers
        ok    authenticated   this user may use it
        FAIL  instance        the VM `polis` is deleted, and its name is still taken
                              fix: multipass recover polis, then: polis start   (recovers it); polis delete --purge, then: polis start   (to start over; everything in it is lost)
        -     vm-disk         no VM is running
        ok    architecture    amd64
        ok    network         [HOST]
    "#]]
    .assert_eq(&doctor(&deleted));
    world.uninstall();
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
    .assert_eq(&doctor(&world));
}

#[test]
fn doctor_fails_when_a_host_cannot_be_reached() {
    let world = running();
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let ran = world.polis_with(&["doctor", "--json"], &[("POLIS_DOWNLOAD_HOSTS", &free)]);
    assert_eq!(ran.code, Some(1), "{}", ran.seen());
    let document = document(&ran);
    let checks = document["result"]["checks"].as_array().unwrap();
    let network = checks
        .iter()
        .find(|check| check["name"] == "network")
        .unwrap();
    assert_eq!(network["verdict"], "fail");
}
