//! Everything that can go wrong in Multipass and the provisioning. Each failure has its documented exit code, names the cause
//! and proposes the next command.

use expect_test::{Expect, expect};
use fake_multipass::{Access, Effect, Fault, Power, Ran, Sandbox};

use crate::support::{did, launches, running, sandbox, seen};

/// A start with every timeout cut to seconds.
pub(crate) fn start(sandbox: &Sandbox) -> Ran {
    start_within(sandbox, "15", "20")
}

/// Like [`start`], with other timeouts for a call and for the health of the services.
pub(crate) fn start_within(sandbox: &Sandbox, call: &str, health: &str) -> Ran {
    let env = [
        ("POLIS_CALL_TIMEOUT", call),
        ("POLIS_HEALTH_TIMEOUT", health),
        ("POLIS_PULL_TIMEOUT", "20"),
    ];
    let ran = sandbox.polis_with(&["start", "--quiet"], &env);
    assert_eq!(sandbox.refused(), [] as [String; 0], "{}", ran.seen());
    ran
}

pub(crate) fn ends(sandbox: &Sandbox, expected: &Expect) {
    expected.assert_eq(&seen(&start(sandbox)));
}

/// Runs `test` for all `items` at once, since each mostly waits.
pub(crate) fn at_once<T: Send>(items: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for item in items {
            scope.spawn(|| test(item));
        }
    });
}

pub(crate) fn with(fault: Fault) -> Sandbox {
    let sandbox = sandbox();
    sandbox.fault(fault);
    sandbox
}

#[test]
fn an_unusable_multipass_is_reported() {
    let old = sandbox();
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
    let down = sandbox();
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
    let denied = sandbox();
    denied.set(|state| state.access = Access::Denied);
    ends(
        &denied,
        &expect![[r#"
            exit 6
            --- stderr
            error: this user has no access to the socket of Multipass
              caused by: list failed: multipass socket access denied
              tried: multipass list --format json --no-ipv4
              hint: add this user to the group that owns /var/snap/multipass/common/multipass_socket (sudo usermod -aG sudo $USER), then log in again
        "#]],
    );
    let unknown = sandbox();
    unknown.set(|state| state.access = Access::Unauthenticated);
    ends(
        &unknown,
        &expect![[r#"
            exit 6
            --- stderr
            error: Multipass has not authenticated this user: the user who set it up must grant access
              caused by: list failed: The client is not authenticated with the Multipass service.; Please use 'multipass authenticate' before proceeding.
              tried: multipass list --format json --no-ipv4
              hint: multipass authenticate
        "#]],
    );
}

#[test]
fn a_start_survives_a_daemon_outage() {
    let sandbox = with(Fault::of("transfer", Effect::Access(Access::Down)));
    assert_eq!(start(&sandbox).code, Some(5));
    assert_eq!(start(&sandbox).code, Some(0));
    assert_eq!(launches(&sandbox), 1);
}

#[test]
fn a_deleted_vm_is_not_recovered() {
    let sandbox = running();
    sandbox.set_instance(|instance| instance.power = Power::Deleted);
    ends(
        &sandbox,
        &expect![[r#"
            exit 7
            --- stderr
            error: the VM `polis` is deleted, and its name is still taken
              tried: multipass list --format json --no-ipv4
              hint: multipass recover polis, then: polis start   (recovers it)
              hint: polis delete --purge, then: polis start   (to start over; everything in it is lost)
        "#]],
    );
    assert_eq!(sandbox.mutations(), [] as [String; 0]);
}

#[test]
fn a_vm_that_does_not_answer_needs_the_user() {
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
fn a_failed_provisioning_names_its_step_and_is_repeated() {
    let failed = Effect::StepFails(
        "sysbox".into(),
        "sysbox-mgr.service: not within 120 s".into(),
    );
    let sandbox = with(Fault::of("launch", failed));
    ends(
        &sandbox,
        &expect![[r#"
            exit 8
            --- stderr
            error: the provisioning of the VM failed in step `sysbox`
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
    sandbox.clear_faults();
    assert_eq!(
        did(&sandbox, &["start"])[..2],
        ["provision-again", "await-provisioning"]
    );
    assert_eq!(launches(&sandbox), 1);
}

#[test]
fn user_data_that_was_never_applied_is_detected() {
    ends(
        &with(Fault::of("launch", Effect::UserDataIgnored)),
        &expect![[r#"
            exit 8
            --- stderr
            error: the VM was not provisioned
              caused by: cloud-init finished without the user-data of polis: Multipass did not deliver it
              tried: multipass exec -n polis -- bash -c '[script: probe the VM]' polis
              hint: polis delete --purge, then: polis start
        "#]],
    );
}

#[test]
fn a_degraded_cloud_init_is_not_a_failure() {
    let sandbox = with(Fault::of("launch", Effect::Degraded));
    assert_eq!(start(&sandbox).code, Some(0));
}

#[test]
fn the_next_start_waits_for_a_slow_provisioning() {
    at_once([Effect::ClientTimeout, Effect::InitTimeout], |effect| {
        let sandbox = with(Fault::of("launch", effect.clone()));
        sandbox.set(|state| state.timing.provision = 8_000);
        let ran = sandbox.polis(&["start", "--quiet", "--timeout", "2"]);
        assert_eq!(ran.code, Some(9), "{effect:?}: {}", ran.seen());
        assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
        let ran = start(&sandbox);
        assert_eq!(ran.code, Some(0), "{effect:?}: {}", ran.seen());
        assert_eq!(launches(&sandbox), 1);
    });
}

#[test]
fn a_hanging_call_is_killed_and_reported() {
    at_once(["version", "list", "exec"], |command| {
        let sandbox = with(Fault::of(command, Effect::Hang));
        let ran = start_within(&sandbox, "5", "20");
        assert_eq!(ran.code, Some(9), "{command}: {}", ran.seen());
        assert!(
            ran.stderr.contains("did not answer within 5 s"),
            "{}",
            ran.seen()
        );
        let ran = start(&sandbox);
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.seen());
        assert_eq!(launches(&sandbox), 1);
    });
}

#[test]
fn the_next_start_resumes_after_a_call_that_worked_but_hung() {
    let calls = [
        ("launch", ""),
        ("exec", "polis-probe"),
        ("exec", "generate-secrets"),
        ("exec", "systemd-run"),
        ("exec", "ready"),
    ];
    at_once(calls, |(command, part)| {
        let sandbox = with(Fault::of(command, Effect::HangAfter).containing(part));
        let ran = sandbox.polis_with(
            &["start", "--quiet", "--timeout", "1"],
            &[("POLIS_CALL_TIMEOUT", "10")],
        );
        assert_eq!(ran.code, Some(9), "{command} {part}: {}", ran.seen());
        sandbox.clear_faults();
        assert_eq!(start(&sandbox).code, Some(0), "{command} {part}");
        assert_eq!(launches(&sandbox), 1);
    });
}

#[test]
fn the_next_start_resumes_after_a_call_was_killed() {
    for command in ["launch", "transfer", "exec"] {
        let sandbox = with(Fault::of(command, Effect::DieAfter));
        let ran = start(&sandbox);
        assert!(
            matches!(ran.code, Some(1 | 10 | 15)),
            "{command}: {}",
            ran.seen()
        );
        assert!(ran.stderr.contains("hint: polis start"), "{}", ran.seen());
        assert_eq!(start(&sandbox).code, Some(0), "{command}");
        assert_eq!(launches(&sandbox), 1);
    }
}

#[test]
fn brief_delays_and_outages_are_waited_out() {
    let sandbox = sandbox();
    sandbox.fault(Fault::of("list", Effect::Slow(1500)));
    for part in ["polis-probe", "polis-job"] {
        sandbox.fault(Fault::of("exec", Effect::SshFails).containing(part));
    }
    assert_eq!(start(&sandbox).code, Some(0));
    assert_eq!(launches(&sandbox), 1);
}

#[test]
fn noise_on_standard_error_is_ignored() {
    let sandbox = sandbox();
    sandbox.fault(Fault::any(Effect::AnsiNoise).always());
    sandbox.fault(Fault::any(Effect::DoubledStderr).always());
    assert_eq!(start(&sandbox).code, Some(0));
}
