//! The stand-ins in the guest: what the scripts of `polis` and `stack.sh` get to see.

use fake_multipass::{Effect, Fate, Fault, Pull, Service, World};
use xtask_testkit::{Tree, has_part};

use crate::{LONG, guest, launched, let_time_pass, run, sh, until};

const STACK: &str = "
name: polis
x-service: &service
  restart: unless-stopped
  healthcheck: {test: [CMD, 'true']}
services:
  init: {image: 'init:1', restart: 'no'}
  base: {<<: *service, image: 'base:1', depends_on: {init: {condition: service_completed_successfully}}}
  top: {<<: *service, image: 'top:1', depends_on: {base: {condition: service_healthy}}}
";
const PS: &str = "ps --all --format '{{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}'";

/// A machine with the stack.
fn stack() -> World {
    let world = launched();
    world.write_guest("/opt/polis/docker-compose.yml", STACK);
    world
}

fn becomes(world: &World, service: &str, fate: Fate) {
    let service = (
        service.to_owned(),
        Service {
            fate,
            ..Service::default()
        },
    );
    world.set(|state| state.services.extend([service]));
}

#[test]
fn containers_start_in_order_and_become_what_the_test_says() {
    let world = stack();
    let compose = |args: &str| sh(&world, &format!("cd /opt/polis && docker compose {args}"));
    let up = compose("up --detach");
    let words = "Error response from daemon: No such image: base:1\n";
    assert_eq!((up.code, up.stderr.as_str()), (Some(1), words));
    assert_eq!(compose("pull").code, Some(0));
    for (service, fate, code, expected) in [
        (
            "init",
            Fate::Exits(3),
            1,
            "base|created||0 init|exited||3 top|created||0",
        ),
        (
            "base",
            Fate::Unhealthy,
            1,
            "base|running|unhealthy|0 init|exited||0 top|created||0",
        ),
        (
            "base",
            Fate::Exits(3),
            1,
            "base|restarting||0 init|exited||0 top|created||0",
        ),
        (
            "top",
            Fate::Starting,
            0,
            "base|running|healthy|0 init|exited||0 top|running|starting|0",
        ),
    ] {
        world.set(|state| state.services.clear());
        becomes(&world, service, fate);
        compose("down");
        let up = compose("up --detach");
        assert_eq!(up.code, Some(code), "{}", up.seen());
        assert_eq!(compose(PS).stdout.trim_end().replace('\n', " "), expected);
    }
    // After a boot all of them run again.
    run(&world, &["stop", "polis"]);
    run(&world, &["start", "polis"]);
    assert!(compose(PS).stdout.contains("top|running"));
    assert_eq!(world.refused(), [] as [&str; 0]);
}

#[test]
fn a_container_is_recreated_when_its_definition_differs_or_when_forced() {
    let world = stack();
    let compose = |args: &str| guest(&world, &format!("cd /opt/polis && docker compose {args}"));
    let id = || compose("ps --all --quiet top");
    compose("pull");
    compose("up --detach");
    let first = id();
    compose("up --detach");
    assert_eq!(id(), first, "nothing has changed");
    let agent = "services: {top: {environment: {A: '1'}}}\n";
    world.write_guest("/opt/polis/agents/a/compose.yaml", agent);
    let layered = "COMPOSE_FILE=docker-compose.yml:agents/a/compose.yaml\n";
    world.write_guest("/opt/polis/.env", layered);
    compose("up --detach --no-recreate");
    assert_eq!(id(), first, "it must not be recreated");
    compose("up --detach");
    let second = id();
    assert_ne!(second, first, "its definition has changed");
    compose("up --no-start --no-deps --force-recreate top");
    assert_ne!(id(), second, "it was forced");
}

#[test]
fn pulls_fail_as_often_as_told() {
    let world = stack();
    let refused = Pull {
        image: "top".into(),
        message: "toomanyrequests".into(),
        left: Some(1),
    };
    world.set(|state| state.pulls.push(refused));
    let pull = || sh(&world, "cd /opt/polis && docker compose pull");
    let ran = pull();
    let words = " top Error toomanyrequests\nError response from daemon: toomanyrequests\n";
    assert!(
        ran.code == Some(1) && ran.stderr.ends_with(words),
        "{}",
        ran.seen()
    );
    assert_eq!(pull().code, Some(0));
}

#[test]
fn what_is_not_scripted_is_refused() {
    let world = stack();
    for line in [
        "docker system df",
        "docker network ls",
        "docker compose images",
        "systemctl frob",
        "systemd-run true",
        "cloud-init clean",
        "df /",
        "apt-get update",
    ] {
        world.forget_calls();
        assert_eq!(sh(&world, line).code, Some(127), "{line}");
        assert_eq!(world.refused(), [line]);
    }
}

#[test]
fn a_unit_is_a_process_of_its_own_and_ends_with_the_machine() {
    let world = launched();
    let unit = "sudo -n systemd-run --quiet --collect --unit=job --uid=ubuntu --working-directory=/opt/polis";
    let is_active = "systemctl is-active job || true";
    guest(&world, &format!("{unit} bash -c 'pwd >here; exit 3'"));
    until("it has ended", || guest(&world, is_active) == "inactive\n");
    assert!(
        world
            .read_guest("/opt/polis/here")
            .ends_with("/opt/polis\n")
    );
    guest(
        &world,
        &format!("{unit} bash -c 'echo $$ >pid; exec /bin/sleep 6000'"),
    );
    assert_eq!(guest(&world, is_active), "active\n");
    assert_eq!(
        sh(&world, &format!("{unit} true")).code,
        Some(1),
        "it is there"
    );
    until("it says its number", || {
        world.guest_has("/opt/polis/pid") && !world.read_guest("/opt/polis/pid").is_empty()
    });
    let pid = world.read_guest("/opt/polis/pid");
    run(&world, &["stop", "polis"]);
    until("it is gone", || {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .map_or(true, |stat| stat.contains(") Z "))
    });
    run(&world, &["start", "polis"]);
    assert_eq!(guest(&world, is_active), "inactive\n");
}

#[test]
fn the_provisioning_runs_again_as_a_unit() {
    let world = launched();
    world.set(|state| state.timing.provision = LONG);
    let fails = Effect::StepFails("ready".into(), "no room".into());
    world.fault(Fault::in_guest("provision.sh", fails));
    let again = "sudo -n systemd-run --quiet --collect --unit=polis-provision /usr/local/lib/polis/provision.sh";
    guest(&world, again);
    let is_active = "systemctl is-active polis-provision.service || true";
    assert_eq!(guest(&world, is_active), "active\n");
    assert!(!world.guest_has("/var/lib/polis/provisioned.json"));
    let_time_pass(&world);
    assert_eq!(guest(&world, is_active), "inactive\n");
    let report = guest(&world, "cat /var/lib/polis/provision.json");
    assert!(report.contains("\"message\": \"no room\""), "{report}");
    assert!(!world.guest_has("/var/lib/polis/provisioned.json"));
    world.set(|state| state.timing.provision = 0);
    guest(&world, again);
    assert!(world.guest_has("/var/lib/polis/provisioned.json"));
}

#[test]
fn services_and_images_are_those_that_the_real_compose_reads() {
    if !has_part("docker-compose") {
        return;
    }
    let world = launched();
    let ours = include_str!("../../../../compose/docker-compose.yml");
    world.write_guest("/opt/polis/docker-compose.yml", ours);
    let agent = "services:\n  workspace: {image: 'other:1'}\n  agent: {image: 'agent:1', depends_on: [workspace]}\n";
    world.write_guest("/opt/polis/agents/a/compose.yaml", agent);
    for env in [
        "",
        "COMPOSE_FILE=docker-compose.yml:agents/a/compose.yaml\n",
    ] {
        world.write_guest("/opt/polis/.env", env);
        for args in ["config --images", "config --services"] {
            let ours = guest(&world, &format!("cd /opt/polis && docker compose {args}"));
            let folder = world.guest().path("/opt/polis");
            let script = format!("cd '{}' && exec docker-compose {args}", folder.display());
            let real = Tree::data().run("bash", &["-c", &script]);
            assert_eq!(real.code, 0, "{}", real.seen());
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&ours), sorted(&real.stdout), "{env}{args}");
        }
    }
}
