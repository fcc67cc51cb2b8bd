//! `systemd-run`, `systemctl` and `sudo` in the guest.

use fake_multipass::{Effect, Fault};

use crate::{LONG, guest, launched, let_time_pass, run, sh, until};

const RUN: &str =
    "sudo -n systemd-run --quiet --collect --unit=job --uid=ubuntu --working-directory=/opt/polis";

#[test]
fn a_unit_is_a_process_of_its_own() {
    let world = launched();
    guest(
        &world,
        &format!(
            "{RUN} --property=After=polis.service bash -c 'pwd >here; sleep 6000; touch late'"
        ),
    );
    assert_eq!(guest(&world, "systemctl is-active job"), "active\n");
    until("it runs", || world.guest_has("/opt/polis/here"));
    let again = sh(&world, &format!("{RUN} true"));
    let words = "Failed to start transient service unit: Unit job.service was already loaded or has a fragment file.\n";
    assert_eq!((again.code, again.stderr.as_str()), (Some(1), words));
    assert_eq!(
        guest(
            &world,
            "systemctl show --property=ActiveState,SubState,Result --value job"
        ),
        "active\nrunning\nsuccess\n"
    );
    guest(&world, "sudo -n systemctl stop job");
    // Code 4, which `multipass exec` must never see.
    assert_eq!(
        guest(&world, "systemctl is-active --quiet job || echo $?"),
        "4\n"
    );
}

#[test]
fn units_end_with_the_machine() {
    let world = launched();
    guest(
        &world,
        &format!("{RUN} bash -c 'echo $$$$ >pid; sleep 6000'"),
    );
    until("it runs", || {
        world.guest_has("/opt/polis/pid") && !world.read_guest("/opt/polis/pid").is_empty()
    });
    let pid = world.read_guest("/opt/polis/pid");
    run(&world, &["stop", "polis"]);
    until("it is gone", || {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .map_or(true, |stat| stat.contains(") Z "))
    });
    run(&world, &["start", "polis"]);
    assert_eq!(
        guest(&world, "systemctl is-active job || true"),
        "inactive\n"
    );
}

#[test]
fn a_failed_unit_stays_unless_it_is_collected() {
    let world = launched();
    let kept = "sudo systemd-run --unit=kept bash -c 'exit 3'";
    assert_eq!(sh(&world, kept).stderr, "Running as unit: kept.service\n");
    until("it failed", || {
        sh(&world, "systemctl is-active kept").stdout == "failed\n"
    });
    assert_eq!(sh(&world, "systemctl is-active kept").code, Some(3));
    assert_eq!(
        guest(&world, "systemctl show -p ExecMainStatus kept"),
        "ExecMainStatus=3\n"
    );
    assert_eq!(sh(&world, kept).code, Some(1));
    guest(&world, "sudo systemctl reset-failed kept");
    assert_eq!(sh(&world, kept).code, Some(0));
    guest(&world, &format!("{RUN} bash -c 'exit 3'"));
    until("it was collected", || {
        guest(&world, "systemctl is-active job || echo $?") == "inactive\n4\n"
    });
}

#[test]
fn only_root_may() {
    let world = launched();
    let ran = sh(&world, "systemd-run --unit=x true");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(1),
            "Failed to start transient service unit: Interactive authentication required.\n"
        )
    );
    assert_eq!(sh(&world, "systemctl start polis").code, Some(1));
    assert_eq!(
        sh(&world, "sudo -u ubuntu systemctl start polis").code,
        Some(1)
    );
    assert_eq!(sh(&world, "sudo -n -- true").code, Some(0));
    assert_eq!(
        sh(&world, "sudo -n A=b bash -c '[ \"$A\" = b ]'").code,
        Some(0)
    );
    assert_eq!(sh(&world, "sudo --frob true").code, Some(1));
    assert_eq!(sh(&world, "sudo no-such-program").code, Some(1));
}

#[test]
fn what_is_not_there_cannot_be_run() {
    let world = launched();
    let ran = sh(&world, &format!("cd /opt/polis && {RUN} scripts/none.sh"));
    assert!(
        ran.code == Some(1) && ran.stderr.starts_with("Failed to find executable"),
        "{}",
        ran.seen()
    );
    let ran = sh(&world, "sudo systemd-run --frob true");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(1), "systemd-run: unrecognized option '--frob'\n")
    );
    assert_eq!(world.refused().len(), 1);
    assert_eq!(sh(&world, "systemctl frob").code, Some(1));
    assert_eq!(sh(&world, "sudo apt-get update").code, Some(127));
}

#[test]
fn the_unit_of_the_stack_waits_for_both_markers() {
    let world = launched();
    guest(&world, "sudo systemctl start polis.service");
    assert_eq!(sh(&world, "systemctl is-active polis").stdout, "inactive\n");
    world.write_guest("/opt/polis/.ready", "");
    let ran = sh(&world, "sudo systemctl start polis.service");
    assert!(
        ran.code == Some(1) && ran.stderr.starts_with("Job for polis.service failed"),
        "no compose file: {}",
        ran.seen()
    );
    world.write_guest(
        "/opt/polis/docker-compose.yml",
        "services: {a: {image: 'a:1'}}",
    );
    guest(
        &world,
        "cd /opt/polis && docker compose pull --quiet; sudo systemctl start polis.service",
    );
    assert_eq!(
        guest(
            &world,
            "systemctl is-active polis; systemctl show -p SubState --value polis"
        ),
        "active\nexited\n"
    );
}

#[test]
fn the_provisioning_can_be_a_unit_and_fail_in_it() {
    let world = launched();
    world.set(|state| state.timing.provision = LONG);
    world.fault(Fault::in_guest(
        "provision.sh",
        Effect::StepFails("ready".into(), "no room".into()),
    ));
    let again = "sudo systemd-run --quiet --unit=again /usr/local/lib/polis/provision.sh";
    guest(
        &world,
        &format!("sudo rm /var/lib/polis/provisioned.json; {again}"),
    );
    until("it is under way", || {
        sh(&world, "systemctl is-active again").stdout == "active\n"
    });
    assert_eq!(
        sh(&world, "sudo /usr/local/lib/polis/provision.sh").code,
        Some(75)
    );
    let_time_pass(&world);
    until("it failed", || {
        sh(&world, "systemctl is-active again").stdout == "failed\n"
    });
    assert!(
        guest(&world, "cat /var/lib/polis/provision.json").contains("\"message\": \"no room\"")
    );
    assert!(!world.guest_has("/var/lib/polis/provisioned.json"));
}

#[test]
fn what_only_root_may_change_needs_sudo() {
    let world = launched();
    guest(
        &world,
        "touch /opt/polis/mine; sudo -n touch /var/lib/polis/with; sudo -n bash -c 'echo x >>/etc/polis/pins.env'",
    );
    assert_eq!(world.refused(), [] as [&str; 0]);
    let script = "touch /var/lib/polis/without";
    assert_eq!(sh(&world, script).code, Some(0));
    let line = format!("multipass exec -n polis -- bash -c {script}");
    assert_eq!(
        world.refused(),
        [format!(
            "{line}: /var/lib/polis/without was changed without root's rights"
        )]
    );
    world.forget_calls();
    guest(&world, "rm /usr/local/lib/polis/provision.sh");
    assert_eq!(world.refused().len(), 1);
}
