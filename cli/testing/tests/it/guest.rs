//! The fake programs in the guest, as the scripts of `polis` and `stack.sh` use them.

use fake_multipass::{Effect, Fate, Fault, Pull, Sandbox, Service};
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
fn stack() -> Sandbox {
    let sandbox = launched();
    sandbox.write_guest("/opt/polis/docker-compose.yml", STACK);
    sandbox
}

fn becomes(sandbox: &Sandbox, service: &str, fate: Fate) {
    let service = (
        service.to_owned(),
        Service {
            fate,
            ..Service::default()
        },
    );
    sandbox.set(|state| state.services.extend([service]));
}

#[test]
fn containers_start_in_order_and_meet_the_fate_set_by_the_test() {
    let sandbox = stack();
    let compose = |args: &str| sh(&sandbox, &format!("cd /opt/polis && docker compose {args}"));
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
        sandbox.set(|state| state.services.clear());
        becomes(&sandbox, service, fate);
        compose("down");
        let up = compose("up --detach");
        assert_eq!(up.code, Some(code), "{}", up.seen());
        assert_eq!(compose(PS).stdout.trim_end().replace('\n', " "), expected);
    }
    // After a boot, all of them run again.
    run(&sandbox, &["stop", "polis"]);
    run(&sandbox, &["start", "polis"]);
    assert!(compose(PS).stdout.contains("top|running"));
    assert_eq!(sandbox.refused(), [] as [&str; 0]);
}

#[test]
fn a_container_is_recreated_when_its_definition_differs_or_when_forced() {
    let sandbox = stack();
    let compose = |args: &str| guest(&sandbox, &format!("cd /opt/polis && docker compose {args}"));
    let id = || compose("ps --all --quiet top");
    compose("pull");
    compose("up --detach");
    let first = id();
    compose("up --detach");
    assert_eq!(id(), first, "nothing has changed");
    let agent = "services: {top: {environment: {A: '1'}}}\n";
    sandbox.write_guest("/opt/polis/agents/a/compose.yaml", agent);
    let layered = "COMPOSE_FILE=docker-compose.yml:agents/a/compose.yaml\n";
    sandbox.write_guest("/opt/polis/.env", layered);
    compose("up --detach --no-recreate");
    assert_eq!(id(), first, "it must not be recreated");
    compose("up --detach");
    let second = id();
    assert_ne!(second, first, "its definition has changed");
    compose("up --no-start --no-deps --force-recreate top");
    assert_ne!(id(), second, "it was forced");
}

#[test]
fn pulls_fail_a_given_number_of_times() {
    let sandbox = stack();
    let refused = Pull {
        image: "top".into(),
        message: "toomanyrequests".into(),
        left: Some(1),
    };
    sandbox.set(|state| state.pulls.push(refused));
    let pull = || sh(&sandbox, "cd /opt/polis && docker compose pull");
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
fn unsupported_command_lines_are_refused() {
    let sandbox = stack();
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
        sandbox.forget_calls();
        assert_eq!(sh(&sandbox, line).code, Some(127), "{line}");
        assert_eq!(sandbox.refused(), [line]);
    }
}

#[test]
fn a_unit_is_a_separate_process_and_ends_with_the_machine() {
    let sandbox = launched();
    let unit = "sudo -n systemd-run --quiet --collect --unit=job --uid=ubuntu --working-directory=/opt/polis";
    let is_active = "systemctl is-active job || true";
    guest(&sandbox, &format!("{unit} bash -c 'pwd >here; exit 3'"));
    until("it has ended", || {
        guest(&sandbox, is_active) == "inactive\n"
    });
    assert!(
        sandbox
            .read_guest("/opt/polis/here")
            .ends_with("/opt/polis\n")
    );
    guest(
        &sandbox,
        &format!("{unit} bash -c 'echo $$ >pid; exec /bin/sleep 6000'"),
    );
    assert_eq!(guest(&sandbox, is_active), "active\n");
    assert_eq!(
        sh(&sandbox, &format!("{unit} true")).code,
        Some(1),
        "it is there"
    );
    until("it writes its process ID", || {
        sandbox.guest_has("/opt/polis/pid") && !sandbox.read_guest("/opt/polis/pid").is_empty()
    });
    let pid = sandbox.read_guest("/opt/polis/pid");
    run(&sandbox, &["stop", "polis"]);
    until("it is gone", || {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .map_or(true, |stat| stat.contains(") Z "))
    });
    run(&sandbox, &["start", "polis"]);
    assert_eq!(guest(&sandbox, is_active), "inactive\n");
}

#[test]
fn the_provisioning_runs_again_as_a_unit() {
    let sandbox = launched();
    sandbox.set(|state| state.timing.provision = LONG);
    let fails = Effect::StepFails("ready".into(), "no room".into());
    sandbox.fault(Fault::in_guest("provision.sh", fails));
    let again = "sudo -n systemd-run --quiet --collect --unit=polis-provision /usr/local/lib/polis/provision.sh";
    guest(&sandbox, again);
    let is_active = "systemctl is-active polis-provision.service || true";
    assert_eq!(guest(&sandbox, is_active), "active\n");
    assert!(!sandbox.guest_has("/var/lib/polis/provisioned.json"));
    let_time_pass(&sandbox);
    assert_eq!(guest(&sandbox, is_active), "inactive\n");
    let report = guest(&sandbox, "cat /var/lib/polis/provision.json");
    assert!(report.contains("\"message\": \"no room\""), "{report}");
    assert!(!sandbox.guest_has("/var/lib/polis/provisioned.json"));
    sandbox.set(|state| state.timing.provision = 0);
    guest(&sandbox, again);
    assert!(sandbox.guest_has("/var/lib/polis/provisioned.json"));
}

#[test]
fn services_and_images_match_those_of_the_real_compose() {
    if !has_part("docker-compose") {
        return;
    }
    let sandbox = launched();
    let ours = include_str!("../../../../compose/docker-compose.yml");
    sandbox.write_guest("/opt/polis/docker-compose.yml", ours);
    let agent = "services:\n  workspace: {image: 'other:1'}\n  agent: {image: 'agent:1', depends_on: [workspace]}\n";
    sandbox.write_guest("/opt/polis/agents/a/compose.yaml", agent);
    for env in [
        "",
        "COMPOSE_FILE=docker-compose.yml:agents/a/compose.yaml\n",
    ] {
        sandbox.write_guest("/opt/polis/.env", env);
        for args in ["config --images", "config --services"] {
            let ours = guest(&sandbox, &format!("cd /opt/polis && docker compose {args}"));
            let folder = sandbox.guest().path("/opt/polis");
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
