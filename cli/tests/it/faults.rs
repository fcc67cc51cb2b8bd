//! Everything that Multipass and the provisioning can do wrong: each ends in its documented exit code, with
//! the cause and the next command.

use expect_test::{Expect, expect};
use fake_multipass::{Access, Effect, Fault, Power, Ran, World};

use crate::support::{did, launches, running, seen, world};

/// A start that must not take long: every wait is cut to seconds.
pub(crate) fn start(world: &World) -> Ran {
    start_within(world, "15", "20")
}

/// The same with other limits for a call and for the health of the services.
pub(crate) fn start_within(world: &World, call: &str, health: &str) -> Ran {
    let env = [
        ("POLIS_CALL_TIMEOUT", call),
        ("POLIS_HEALTH_TIMEOUT", health),
        ("POLIS_PULL_TIMEOUT", "20"),
    ];
    let ran = world.polis_with(&["start", "--quiet"], &env);
    assert_eq!(world.refused(), [] as [String; 0], "{}", ran.seen());
    ran
}

pub(crate) fn ends(world: &World, expected: &Expect) {
    expected.assert_eq(&seen(&start(world)));
}

/// Waits for what each of `items` has to wait for at the same time.
pub(crate) fn at_once<T: Send>(items: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for item in items {
            scope.spawn(|| test(item));
        }
    });
}

/// A first start with this fault.
pub(crate) fn with(fault: Fault) -> World {
    let world = world();
    world.fault(fault);
    world
}

#[test]
fn multipass_that_will_not_do_is_named() {
    let old = world();
    old.set(|state| state.client = "1.15.1".to_owned());
    ends(
        &old,
        &expect![[r#"
            exit 4
            --- stderr
            error: Multipass's client is version 1.15.1; 1.16.0 or newer is needed
              tried: multipass version --format json
              hint: sudo snap refresh multipass
        "#]],
    );
    let down = world();
    down.set(|state| state.access = Access::Down);
    ends(
        &down,
        &expect![[r#"
        exit 5
        --- stderr
        error: Multipass's daemon does not answer
          caused by: list failed: cannot connect to the multipass socket
          tried: multipass list --format json --no-ipv4
          hint: sudo snap restart multipass
          hint: polis doctor
    "#]],
    );
    let denied = world();
    denied.set(|state| state.access = Access::Denied);
    ends(
        &denied,
        &expect![[r#"
        exit 6
        --- stderr
        error: this user may not open the socket of Multipass
          caused by: list failed: multipass socket access denied
          tried: multipass list --format json --no-ipv4
          hint: add this user to the group that owns /var/snap/multipass/common/multipass_socket (sudo usermod -aG sudo $USER), then log in again
    "#]],
    );
    let unknown = world();
    unknown.set(|state| state.access = Access::Unauthenticated);
    ends(
        &unknown,
        &expect![[r#"
        exit 6
        --- stderr
        error: Multipass has not authenticated this user: the user who set it up has to allow others
          caused by: list failed: The client is not authenticated with the Multipass service.; Please use 'multipass authenticate' before proceeding.
          tried: multipass list --format json --no-ipv4
          hint: multipass authenticate
    "#]],
    );
}

#[test]
fn a_daemon_that_goes_away_half_way_is_no_end() {
    let world = with(Fault::of("transfer", Effect::Access(Access::Down)));
    assert_eq!(start(&world).code, Some(5));
    assert_eq!(start(&world).code, Some(0));
    assert_eq!(launches(&world), 1);
}

#[test]
fn a_vm_in_the_trash_is_left_there() {
    let world = running();
    world.set_instance(|instance| instance.power = Power::Deleted);
    ends(
        &world,
        &expect![[r#"
            exit 7
            --- stderr
            error: the VM `polis` is deleted, and its name is still taken
              tried: multipass list --format json --no-ipv4
              hint: multipass recover polis, then: polis start   (recovers it)
              hint: polis delete --purge, then: polis start   (to start over; everything in it is lost)
        "#]],
    );
    assert_eq!(world.mutations(), [] as [String; 0]);
}

#[test]
fn a_vm_that_does_not_answer_is_for_a_person() {
    let silent = running();
    silent.set_instance(|instance| instance.ssh = false);
    ends(
        &silent,
        &expect![[r#"
            exit 15
            --- stderr
            error: the VM does not answer
              caused by: exec failed: ssh connection failed: 'Connection refused'
              tried: multipass exec -n polis -- bash -c '[script: probe the VM]' polis
              hint: multipass stop --force polis, then: polis start
              hint: if it persists: a VPN, another program on port 53 of the bridge, or Docker's FORWARD policy DROP on this host may be in the way; `sudo iptables -I DOCKER-USER -j ACCEPT -i mpqemubr0` fixes the last
        "#]],
    );
    ends(
        &with(Fault::of("launch", Effect::SshTimeout)),
        &expect![[r#"
            exit 15
            --- stderr
            error: the VM does not answer
              caused by: launch failed: The following errors occurred:; polis: timed out waiting for response
              tried: multipass launch 24.04 --name polis --cpus 4 --memory 8G --disk 40G --timeout 900 --cloud-init -
              hint: multipass stop --force polis, then: polis start
              hint: if it persists: a VPN, another program on port 53 of the bridge, or Docker's FORWARD policy DROP on this host may be in the way; `sudo iptables -I DOCKER-USER -j ACCEPT -i mpqemubr0` fixes the last
        "#]],
    );
    ends(
        &with(Fault::of("launch", Effect::DiesStarting)),
        &expect![[r#"
            exit 15
            --- stderr
            error: could not launch the VM and provision it
              caused by: launch failed: The following errors occurred:; polis: The instance died while starting
              tried: multipass launch 24.04 --name polis --cpus 4 --memory 8G --disk 40G --timeout 900 --cloud-init -
              hint: polis start
              hint: polis doctor
        "#]],
    );
}

#[test]
fn a_provisioning_that_failed_is_named_with_its_step_and_done_again() {
    let failed = Effect::StepFails(
        "sysbox".into(),
        "sysbox-mgr.service: not within 120 s".into(),
    );
    let world = with(Fault::of("launch", failed));
    ends(
        &world,
        &expect![[r#"
            exit 8
            --- stderr
            error: the provisioning of the VM failed in its step `sysbox`
              caused by: sysbox-mgr.service: not within 120 s (exit code 1)
              tried: multipass exec -n polis -- bash -c '[script: probe the VM]' polis
              log: polis-provision: step docker-repo start 0
              log: polis-provision: step docker-repo done 0
              log: polis-provision: step docker-engine start 0
              log: polis-provision: step docker-engine done 0
              log: polis-provision: step sysbox start 0
              log: polis-provision: error: sysbox-mgr.service: not within 120 s
              log: polis-provision: step sysbox failed 0
              log: polis-provision: time docker-repo    done         0
              log: polis-provision: time docker-engine  done         0
              log: polis-provision: time sysbox         failed       0
              log: polis-provision: time yq             pending      0
              log: polis-provision: time polis-unit     pending      0
              log: polis-provision: time hardening      pending      0
              log: polis-provision: time ready          pending      0
              log: polis-provision: time total                       0
              log: polis-provision: failed in step sysbox: sysbox-mgr.service: not within 120 s (exit code 1; the whole log is /var/log/polis-provision.log)
              hint: polis start   (provisions again; finished steps are skipped)
              hint: polis exec --vm -- sudo less /var/log/polis-provision.log
        "#]],
    );
    world.clear_faults();
    assert_eq!(
        did(&world, &["start"])[..2],
        ["provision-again", "await-provisioning"]
    );
    assert_eq!(launches(&world), 1);
}

#[test]
fn user_data_that_was_never_applied_is_noticed() {
    ends(
        &with(Fault::of("launch", Effect::UserDataIgnored)),
        &expect![[r#"
            exit 8
            --- stderr
            error: the VM was not provisioned
              caused by: cloud-init finished without the user-data of polis: Multipass did not pass it on
              tried: multipass exec -n polis -- bash -c '[script: probe the VM]' polis
              hint: polis delete --purge, then: polis start
        "#]],
    );
}

#[test]
fn a_degraded_cloud_init_is_no_failure_of_ours() {
    let world = with(Fault::of("launch", Effect::Degraded));
    assert_eq!(start(&world).code, Some(0));
}

#[test]
fn a_provisioning_that_takes_too_long_is_waited_for_by_the_next_start() {
    at_once([Effect::ClientTimeout, Effect::InitTimeout], |effect| {
        let world = with(Fault::of("launch", effect.clone()));
        world.set(|state| state.timing.provision = 8_000);
        let ran = world.polis(&["start", "--quiet", "--timeout", "2"]);
        assert_eq!(ran.code, Some(9), "{effect:?}: {}", ran.seen());
        assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
        let ran = start(&world);
        assert_eq!(ran.code, Some(0), "{effect:?}: {}", ran.seen());
        assert_eq!(launches(&world), 1);
    });
}

#[test]
fn a_call_that_hangs_is_ended_and_named() {
    at_once(["version", "list", "exec"], |command| {
        let world = with(Fault::of(command, Effect::Hang));
        let ran = start_within(&world, "5", "20");
        assert_eq!(ran.code, Some(9), "{command}: {}", ran.seen());
        assert!(
            ran.stderr.contains("did not answer within 5 s"),
            "{}",
            ran.seen()
        );
        let ran = start(&world);
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.seen());
        assert_eq!(launches(&world), 1);
    });
}

#[test]
fn a_call_that_did_its_work_and_never_said_so_is_gone_on_with() {
    let calls = [
        ("launch", ""),
        ("exec", "polis-probe"),
        ("exec", "generate-secrets"),
        ("exec", "systemd-run"),
        ("exec", "ready"),
    ];
    at_once(calls, |(command, part)| {
        let world = with(Fault::of(command, Effect::HangAfter).containing(part));
        let ran = world.polis_with(
            &["start", "--quiet", "--timeout", "1"],
            &[("POLIS_CALL_TIMEOUT", "10")],
        );
        assert_eq!(ran.code, Some(9), "{command} {part}: {}", ran.seen());
        world.clear_faults();
        assert_eq!(start(&world).code, Some(0), "{command} {part}");
        assert_eq!(launches(&world), 1);
    });
}

#[test]
fn a_call_that_is_ended_by_somebody_else_is_gone_on_with() {
    for command in ["launch", "transfer", "exec"] {
        let world = with(Fault::of(command, Effect::DieAfter));
        let ran = start(&world);
        assert!(
            matches!(ran.code, Some(1 | 10 | 15)),
            "{command}: {}",
            ran.seen()
        );
        assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
        assert_eq!(start(&world).code, Some(0), "{command}");
        assert_eq!(launches(&world), 1);
    }
}

#[test]
fn what_is_slow_or_lost_for_a_moment_is_waited_for() {
    let world = world();
    world.fault(Fault::of("list", Effect::Slow(1500)));
    for part in ["polis-probe", "polis-job"] {
        world.fault(Fault::of("exec", Effect::SshFails).containing(part));
    }
    assert_eq!(start(&world).code, Some(0));
    assert_eq!(launches(&world), 1);
}

#[test]
fn noise_is_not_taken_for_an_answer() {
    let world = world();
    world.fault(Fault::any(Effect::AnsiNoise).always());
    world.fault(Fault::any(Effect::DoubledStderr).always());
    assert_eq!(start(&world).code, Some(0));
}
