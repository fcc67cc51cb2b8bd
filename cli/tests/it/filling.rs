//! Failures inside the provisioned VM: transfers, pulls, services.

use expect_test::expect;
use fake_multipass::{Effect, Fate, Fault, Pull, Service};

use crate::faults::{at_once, ends, start, start_within, with};
use crate::support::{did, document, launches, running, sandbox, seen};

#[test]
fn a_failed_transfer_is_reported_and_a_damaged_one_is_repeated() {
    let words = "transfer failed: [sftp] cannot write";
    let failed = Effect::Exit {
        code: 2,
        stderr: words.into(),
    };
    ends(
        &with(Fault::of("transfer", failed)),
        &expect![[r#"
            exit 10
            --- stderr
            error: could not transfer the bundle
              caused by: transfer failed: [sftp] cannot write
              tried: multipass transfer - polis:/opt/polis/.incoming-[DIGEST].tar
              hint: polis start
              hint: polis doctor
        "#]],
    );
    let once = with(Fault::of("transfer", Effect::Cut(1000)));
    assert_eq!(start(&once).code, Some(0));
    ends(
        &with(Fault::of("transfer", Effect::Cut(1000)).always()),
        &expect![[r#"
            exit 10
            --- stderr
            error: the transfer arrived damaged twice
              caused by: its SHA-256 in the VM differs from that of the file sent
              tried: multipass transfer - polis:/opt/polis/.incoming-[DIGEST].tar
              hint: polis start
        "#]],
    );
}

#[test]
fn a_failed_pull_is_retried_and_then_reported() {
    let pull = |left| Pull {
        image: "polis-gate-oss".into(),
        message: "toomanyrequests: retry-after: 1s".into(),
        left,
    };
    let flaky = sandbox();
    flaky.set(|state| state.pulls.push(pull(Some(1))));
    let ran = flaky.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let never = sandbox();
    never.set(|state| state.pulls.push(pull(None)));
    let ran = never.polis(&["start", "--quiet"]);
    expect![[r#"
        exit 11
        --- stderr
        error: could not pull an image
          caused by: Error response from daemon: toomanyrequests: retry-after: 1s
          tried: multipass exec -n polis -- bash -c '[script: pull the images]' polis pull-[DIGEST] ubuntu scripts/stack.sh pull
          log:  gate Error toomanyrequests: retry-after: 1s
          log: Error response from daemon: toomanyrequests: retry-after: 1s
          log: stack: not pulled: ghcr.io/odralabshq/polis-gate-oss:[PIN]
          hint: polis start
          hint: polis doctor   (checks whether the registry is reachable)
    "#]].assert_eq(&without_others(&seen(&ran)));
}

/// The log of a pull without the lines about other images and without tags and digests, so that these tests do not depend on
/// the pins.
fn without_others(text: &str) -> String {
    let line = |line: &str| match line.split_once("-oss:") {
        Some((name, _)) => format!("{name}-oss:[PIN]\n"),
        None => format!("{line}\n"),
    };
    let told = |line: &&str| {
        let other = line.contains("-oss:") || line.ends_with("Pulled") || line.ends_with("Pulling");
        !other || line.contains("gate")
    };
    text.lines().filter(told).map(line).collect()
}

#[test]
fn an_unhealthy_service_is_reported_with_its_log() {
    let fate = |fate| Service {
        fate,
        after: 0,
        log: vec!["cannot bind 0.0.0.0:1344".into()],
    };
    let services = [
        (
            "sentinel",
            Fate::Unhealthy,
            expect![[r#"
                exit 12
                --- stderr
                error: the service `sentinel` is not healthy
                  caused by: its state: unhealthy
                  tried: multipass exec -n polis -- bash -c '[script: start the services]' polis up-[DIGEST] ubuntu scripts/stack.sh up
                  log: cannot bind 0.0.0.0:1344
                  hint: polis logs sentinel
                  hint: polis start   (starts it again)
            "#]],
        ),
        (
            "host-init",
            Fate::Exits(3),
            expect![[r#"
                exit 12
                --- stderr
                error: the service `host-init` is not healthy
                  caused by: its state: exited with 3
                  tried: multipass exec -n polis -- bash -c '[script: start the services]' polis up-[DIGEST] ubuntu scripts/stack.sh up
                  log: cannot bind 0.0.0.0:1344
                  hint: polis logs host-init
                  hint: polis start   (starts it again)
            "#]],
        ),
        (
            "scanner",
            Fate::Starting,
            expect![[r#"
                exit 12
                --- stderr
                error: the service `scanner` is not healthy
                  caused by: its state: starting
                  tried: multipass exec -n polis -- bash -c '[script: start the services]' polis up-[DIGEST] ubuntu scripts/stack.sh up
                  log: cannot bind 0.0.0.0:1344
                  hint: polis logs scanner
                  hint: polis start   (starts it again)
            "#]],
        ),
        (
            "toolbox",
            Fate::Exits(1),
            expect![[r#"
                exit 12
                --- stderr
                error: the service `toolbox` is not healthy
                  caused by: its state: restarting
                  tried: multipass exec -n polis -- bash -c '[script: probe the VM]' polis
                  log: cannot bind 0.0.0.0:1344
                  hint: polis logs toolbox
                  hint: polis start   (starts it again)
            "#]],
        ),
    ];
    at_once(services, |(name, what, expected)| {
        let sandbox = sandbox();
        sandbox.set(|state| state.services.insert(name.into(), fate(what)));
        // Only a service that stays `starting` is waited for until the timeout.
        let limit = if what == Fate::Starting { "8" } else { "40" };
        expected.assert_eq(&seen(&start_within(&sandbox, "15", limit)));
    });
}

#[test]
fn the_log_of_a_service_starts_with_the_lines_that_name_a_cause() {
    let sandbox = sandbox();
    let mut log: Vec<String> = (0..300)
        .map(|at| format!("{at} {}", "x".repeat(200)))
        .collect();
    log[100] = "Fatal error while parsing config file".into();
    log[290] = "cannot bind 0.0.0.0:1344".into();
    let ill = Service {
        fate: Fate::Unhealthy,
        after: 0,
        log,
    };
    sandbox.set(|state| {
        // This log exceeds what a call may print: Multipass for Windows would never exit.
        state.windows = true;
        state.services.insert("sentinel".into(), ill);
    });
    let ran = sandbox.polis_with(
        &["start", "--quiet", "--json"],
        &[("POLIS_DELIVERY", "file")],
    );
    assert_eq!(ran.code, Some(12), "{}", ran.seen());
    let log = document(&ran)["error"]["log"].clone();
    let log: Vec<&str> = log
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|line| line.as_str())
        .collect();
    assert_eq!(
        log[..2],
        [
            "Fatal error while parsing config file",
            "cannot bind 0.0.0.0:1344"
        ]
    );
    // The last 40 lines, one of which is already listed above.
    assert_eq!(log.len(), 2 + 39);
    assert!(log[2].starts_with("260 ") && log[40].starts_with("299 "));
}

#[test]
fn a_full_guest_disk_is_reported() {
    let sandbox = sandbox();
    sandbox.set(|state| state.disk_full = true);
    ends(
        &sandbox,
        &expect![[r#"
            exit 10
            --- stderr
            error: could not transfer the bundle
              caused by: cannot write to remote file /opt/polis/.incoming-[DIGEST].tar: SFTP server: Failure
              tried: multipass transfer - polis:/opt/polis/.incoming-[DIGEST].tar
              hint: polis start
              hint: polis doctor
        "#]],
    );
    sandbox.set(|state| state.disk_full = false);
    assert_eq!(start(&sandbox).code, Some(0));
    assert_eq!(launches(&sandbox), 1);
}

#[test]
fn an_unresponsive_docker_is_reported_and_nothing_is_pulled() {
    let sandbox = running();
    let down = Effect::Exit {
        code: 1,
        stderr: "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n".into(),
    };
    sandbox.fault(Fault::in_guest("docker", down.clone()).times(3));
    assert_eq!(
        did(&sandbox, &["start"]),
        [] as [&str; 0],
        "a brief outage is waited out"
    );
    sandbox.fault(Fault::in_guest("docker", down).always());
    ends(
        &sandbox,
        &expect![[r#"
        exit 12
        --- stderr
        error: Docker does not answer in the VM
          caused by: its service is down, or did not come up in time after a boot
          tried: multipass list --format json --no-ipv4
          hint: polis exec --vm -- sudo systemctl restart docker, then: polis start
          hint: polis exec --vm -- sudo journalctl -u docker -n 30
    "#]],
    );
    // `status` and `doctor` report the same problem and the same fix.
    let fix = "polis exec --vm -- sudo systemctl restart docker, then: polis start";
    let status = sandbox.polis(&["status"]).stdout;
    assert!(
        status.contains("problem    Docker does not answer in the VM\n"),
        "{status}"
    );
    assert!(status.ends_with(&format!("next       {fix}\n")), "{status}");
    let doctor = sandbox.polis(&["doctor"]).stdout;
    assert!(
        doctor.contains("FAIL  instance        Docker does not answer in the VM"),
        "{doctor}"
    );
    assert!(doctor.contains(&format!("fix: {fix}")), "{doctor}");
    let pulls = sandbox.all_calls().into_iter();
    assert_eq!(
        pulls
            .filter(|call| call.line().contains("compose pull"))
            .count(),
        0
    );
}
