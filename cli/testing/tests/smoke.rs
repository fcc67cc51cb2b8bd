//! A whole life of a machine on the double: launched, filled, started, stopped, deleted.

use std::time::{Duration, Instant};

use expect_test::expect;
use fake_multipass::{Power, World};

const CLOUD_INIT: &str = include_str!("../../../cloud-init/cloud-init.yaml");
const COMPOSE: &str = include_str!("../../../compose/docker-compose.yml");
const SECRETS: &str = include_str!("../../../compose/scripts/generate-secrets.sh");

/// What a guest command prints; it must succeed.
fn guest(world: &World, script: &str) -> String {
    let args = ["exec", "-n", "polis", "--", "bash", "-c", script];
    let ran = world.multipass(&args, b"");
    assert_eq!(ran.code, Some(0), "{script}: {}", ran.seen());
    ran.stdout
}

fn until(world: &World, script: &str, wanted: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while guest(world, script) != wanted {
        assert!(Instant::now() < end, "{script}: never {wanted}");
    }
}

#[test]
fn a_machine_lives_and_dies() {
    let world = World::new();
    let launch = [
        "launch",
        "24.04",
        "--name",
        "polis",
        "--cpus",
        "4",
        "--memory",
        "8G",
        "--disk",
        "40G",
        "--timeout",
        "900",
        "--cloud-init",
        "-",
    ];
    let ran = world.multipass(&launch, CLOUD_INIT.as_bytes());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(ran.stdout.ends_with("Launched: polis\n"), "{}", ran.seen());
    assert_eq!(guest(&world, "cloud-init status"), "status: done\n");

    world.write_guest("/opt/polis/docker-compose.yml", COMPOSE);
    let put = [
        "transfer",
        "-p",
        "-",
        "polis:/opt/polis/scripts/generate-secrets.sh",
    ];
    let ran = world.multipass(&put, SECRETS.as_bytes());
    assert_eq!(ran.seen(), "exit 0\n");
    expect![[r#"
        generate-secrets: made /opt/polis/certs/ca
        generate-secrets: made /opt/polis/certs/toolbox
        generate-secrets: made /opt/polis/certs/valkey
        generate-secrets: made /opt/polis/secrets
        generate-secrets: complete and sound in /opt/polis
    "#]]
    .assert_eq(&guest(
        &world,
        "bash /opt/polis/scripts/generate-secrets.sh",
    ));

    let compose = "cd /opt/polis && docker compose";
    guest(&world, &format!("{compose} pull --quiet"));
    let job = "sudo -n systemd-run --quiet --collect --unit=polis-up-1 --uid=ubuntu \
               --property=After=polis.service --working-directory=/opt/polis docker compose up --detach";
    guest(&world, job);
    until(
        &world,
        "systemctl is-active polis-up-1 || true",
        "inactive\n",
    );
    let ps = format!(
        "{compose} ps --all --format '{{{{.Service}}}} {{{{.State}}}} {{{{.Health}}}} {{{{.ExitCode}}}}'"
    );
    let all_well = expect![[r#"
        certgen running healthy 0
        gate running healthy 0
        host-init exited  0
        resolver running healthy 0
        scanner running healthy 0
        scanner-init exited  0
        sentinel running healthy 0
        state running healthy 0
        state-init exited  0
        toolbox running healthy 0
        workspace running healthy 0
    "#]];
    all_well.assert_eq(&guest(&world, &ps));

    guest(&world, "touch /opt/polis/.ready");
    assert_eq!(world.multipass(&["stop", "polis"], b"").code, Some(0));
    assert_eq!(world.power(), Some(Power::Stopped));
    assert_eq!(world.multipass(&["start", "polis"], b"").code, Some(0));
    until(
        &world,
        "systemctl is-active polis.service || true",
        "active\n",
    );
    all_well.assert_eq(&guest(&world, &ps));

    assert_eq!(world.refused(), Vec::<String>::new());
    let ran = world.multipass(&["delete", "--purge", "polis"], b"");
    assert_eq!(ran.seen(), "exit 0\n");
    assert_eq!(world.instance(), None);
    assert!(!world.guest().root().exists());
}
