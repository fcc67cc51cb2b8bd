//! What goes wrong inside the VM once it is provisioned: transfers, pulls, services.

use expect_test::expect;
use fake_multipass::{Effect, Fate, Fault, Pull, Service};

use crate::faults::{at_once, ends, start, start_within, with};
use crate::support::{did, document, launches, running, seen, world};

#[test]
fn a_transfer_that_fails_is_named_and_a_damaged_one_is_made_again() {
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
              caused by: its SHA-256 in the VM is not that of the file that was sent
              tried: multipass transfer - polis:/opt/polis/.incoming-[DIGEST].tar
              hint: polis start
        "#]],
    );
}

#[test]
fn a_pull_that_fails_is_tried_again_and_then_named() {
    let pull = |left| Pull {
        image: "polis-gate-oss".into(),
        message: "toomanyrequests: retry-after: 1s".into(),
        left,
    };
    let flaky = world();
    flaky.set(|state| state.pulls.push(pull(Some(1))));
    let ran = flaky.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let never = world();
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

/// The log of a pull without the lines about other images, and without tags and digests: these tests do not depend on
/// which images there are, or on their pins.
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
fn a_service_that_is_not_well_is_named_with_its_log() {
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
        let world = world();
        world.set(|state| state.services.insert(name.into(), fate(what)));
        // Only what never gets anywhere is waited for to the end.
        let limit = if what == Fate::Starting { "8" } else { "40" };
        expected.assert_eq(&seen(&start_within(&world, "15", limit)));
    });
}

#[test]
fn the_log_of_a_service_begins_with_the_lines_that_name_a_cause() {
    let world = world();
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
    world.set(|state| {
        // This log is longer than a call may print: the client for Windows would never end.
        state.windows = true;
        state.services.insert("sentinel".into(), ill);
    });
    let ran = world.polis_with(
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
    // The last 40, of which one is above.
    assert_eq!(log.len(), 2 + 39);
    assert!(log[2].starts_with("260 ") && log[40].starts_with("299 "));
}

#[test]
fn a_guest_whose_disk_is_full_is_told() {
    let world = world();
    world.set(|state| state.disk_full = true);
    ends(
        &world,
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
    world.set(|state| state.disk_full = false);
    assert_eq!(start(&world).code, Some(0));
    assert_eq!(launches(&world), 1);
}

#[test]
fn a_docker_that_does_not_answer_is_named_and_nothing_is_pulled() {
    let world = running();
    let down = Effect::Exit {
        code: 1,
        stderr: "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n".into(),
    };
    world.fault(Fault::in_guest("docker", down.clone()).times(3));
    assert_eq!(
        did(&world, &["start"]),
        [] as [&str; 0],
        "it was on its way"
    );
    world.fault(Fault::in_guest("docker", down).always());
    ends(
        &world,
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
    // `status` and `doctor` name the same problem, and the same way on.
    let mends = "polis exec --vm -- sudo systemctl restart docker, then: polis start";
    let status = world.polis(&["status"]).stdout;
    assert!(
        status.contains("problem    Docker does not answer in the VM\n"),
        "{status}"
    );
    assert!(
        status.ends_with(&format!("next       {mends}\n")),
        "{status}"
    );
    let doctor = world.polis(&["doctor"]).stdout;
    assert!(
        doctor.contains("FAIL  instance        Docker does not answer in the VM"),
        "{doctor}"
    );
    assert!(doctor.contains(&format!("fix: {mends}")), "{doctor}");
    let pulls = world.all_calls().into_iter();
    assert_eq!(
        pulls
            .filter(|call| call.line().contains("compose pull"))
            .count(),
        0
    );
}
