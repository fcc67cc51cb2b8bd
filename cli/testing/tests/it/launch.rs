//! `launch`: errors of client and daemon, how cloud-init handles the user-data, and timing.

use std::fs;

use fake_multipass::{Effect, Fault, Power, Sandbox};

use crate::{
    CLOUD_INIT, LAUNCH, LONG, guest, launch, launched, let_time_pass, refused, run, until,
};

/// The daemon's answer to a launch with these arguments.
fn denied(sandbox: &Sandbox, args: &[&str]) -> (Option<i32>, String) {
    let args: Vec<&str> = ["launch"].iter().chain(args).copied().collect();
    let ran = run(sandbox, &args);
    (ran.code, ran.stderr)
}

#[test]
fn errors_of_the_client_launch_nothing() {
    let sandbox = Sandbox::new();
    for args in [
        &["launch", "--cpus", "x"][..],
        &["launch", "--memory", "8Q"],
        &["launch", "--timeout=-5"],
        &["launch", "--name"],
        &["launch", "--cloud-init", "/dev/null"],
    ] {
        let (code, text, refused) = refused(&sandbox, args);
        assert!(code == Some(1) && refused, "{args:?}: {text}");
    }
    assert_eq!(sandbox.state().instances, []);
}

#[test]
fn the_spinner_turns_without_a_terminal_at_the_configured_speed() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| {
        state.timing.provision = LONG;
        state.timing.spinner = 1;
    });
    let child = sandbox.start_multipass(&LAUNCH, CLOUD_INIT.as_bytes());
    until("it has turned for a while", || {
        child.stdout().matches('\u{8}').count() > 40
    });
    let_time_pass(&sandbox);
    let stdout = child.wait().stdout;
    let clear = "\u{1b}[2K\u{1b}[0A\u{1b}[0E";
    let stages: Vec<&str> = stdout
        .split(clear)
        .filter(|stage| !stage.is_empty())
        .collect();
    let last = "Waiting for initialization to complete  \u{8}/\u{8}-\u{8}\\\u{8}|\u{8}/";
    let starts = [
        "Retrieving image: 100%  ",
        "Creating polis  \u{8}/",
        "Starting polis  \u{8}/",
        last,
        "Launched: polis\n",
    ];
    assert_eq!(stages.len(), starts.len(), "{stages:?}");
    for (stage, start) in stages.iter().zip(starts) {
        assert!(stage.starts_with(start), "{stage:?}");
    }
}

#[test]
fn a_launch_that_succeeds_may_begin_with_lines_of_the_log() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::of("launch", Effect::LogLines(4)));
    let ran = launch(&sandbox);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(ran.stderr.lines().count(), 4, "{}", ran.seen());
    for line in ran.stderr.lines() {
        let rest = line.split_once("] ").map(|(_, rest)| rest);
        let words = "[error] [url downloader] Failed to get ";
        assert!(rest.is_some_and(|rest| rest.starts_with(words)), "{line}");
    }
}

#[test]
fn since_1_17_there_are_zones_and_higher_limits() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| {
        state.client = "1.17.0+mac".to_owned();
        state.daemon = "1.17.0".to_owned();
    });
    let (code, text) = denied(&sandbox, &["--name", "b", "--memory", "256M"]);
    assert!(
        code == Some(2) && text.contains("Invalid memory size value supplied"),
        "{text}"
    );
    let ran = launch(&sandbox);
    assert!(
        ran.stdout.ends_with("Launched: polis in zone1\n"),
        "{}",
        ran.seen()
    );
}

#[test]
fn defaults_are_one_cpu_1g_and_5g() {
    let sandbox = launched();
    let instance = sandbox.instance().expect("an instance");
    assert_eq!(
        (instance.cpus, instance.memory, instance.disk),
        (1, 1 << 30, 5 << 30)
    );
}

#[test]
fn user_data_may_come_from_a_file_or_a_pipe() {
    let piped = launched();
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("cloud-init.yaml");
    fs::write(&file, CLOUD_INIT).expect("a file");
    let file = file.display().to_string();
    let ran = run(
        &sandbox,
        &["launch", "24.04", "-n", "polis", "--cloud-init", &file],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let user_data = "/var/lib/cloud/instance/user-data.txt";
    assert_eq!(sandbox.read_guest(user_data), piped.read_guest(user_data));
}

#[test]
fn the_guest_gets_the_user_data_with_one_more_line_and_its_files() {
    let sandbox = launched();
    let received = sandbox.read_guest("/var/lib/cloud/instance/user-data.txt");
    let added: Vec<&str> = received
        .lines()
        .filter(|line| !CLOUD_INIT.lines().any(|own| own == *line))
        .collect();
    assert_eq!(added, ["  - pollinate"]);
    assert_eq!(received.lines().count(), CLOUD_INIT.lines().count() + 1);
    let script = guest(
        &sandbox,
        "stat -c %a /usr/local/lib/polis/provision.sh /etc/polis/pins.env",
    );
    assert_eq!(script, "755\n644\n");
    assert!(
        sandbox
            .read_guest("/usr/local/lib/polis/provision.sh")
            .starts_with("#!/bin/bash\n")
    );
}

#[test]
fn the_marker_has_the_digests_of_the_files_in_the_guest() {
    let sandbox = launched();
    let check = "cd / && jq -r '.files | to_entries[] | .value + \"  \" + .key' /var/lib/polis/provisioned.json |
        while read -r sum path; do printf '%s %s\\n' \"$sum\" \"$path\"; done";
    let listed = guest(&sandbox, check);
    assert_eq!(listed.lines().count(), 6);
    for line in listed.lines() {
        let (digest, path) = line.split_once(' ').expect("a digest and a path");
        let bytes = fs::read(sandbox.guest().path(path)).expect(path);
        assert_eq!(polis_base::Digest::of(&bytes).hex(), digest, "{path}");
    }
    let user_data = fs::read(
        sandbox
            .guest()
            .path("/var/lib/cloud/instance/user-data.txt"),
    )
    .expect("user-data");
    let digest = polis_base::Digest::of(&user_data).hex();
    assert_eq!(
        guest(
            &sandbox,
            "jq -r .user_data_sha256 /var/lib/polis/provisioned.json"
        ),
        format!("{digest}\n")
    );
    assert_eq!(
        guest(&sandbox, "jq -r .status /var/lib/polis/provision.json"),
        "done\n"
    );
}

#[test]
fn running_comes_before_cloud_init_ends() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.provision = LONG);
    let child = sandbox.start_multipass(&LAUNCH, CLOUD_INIT.as_bytes());
    until("it runs", || sandbox.power() == Some(Power::Running));
    assert_eq!(
        guest(
            &sandbox,
            "cloud-init status; test -e /var/lib/polis/provisioned.json || echo no marker"
        ),
        "status: running\nno marker\n"
    );
    assert!(
        guest(&sandbox, "cat /var/log/polis-provision.log").contains("step docker-repo start 0")
    );
    // The client is gone, and the machine continues.
    child.kill();
    let_time_pass(&sandbox);
    assert_eq!(
        guest(
            &sandbox,
            "until [ -e /var/lib/polis/provisioned.json ]; do sleep 0.05; done; cloud-init status"
        ),
        "status: done\n"
    );
}

#[test]
fn at_first_the_instance_is_being_prepared() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.image = LONG);
    let child = sandbox.start_multipass(&LAUNCH, CLOUD_INIT.as_bytes());
    until("the launch is under way", || {
        sandbox.state().instances.len() == 1
    });
    assert_eq!(
        run(&sandbox, &["list", "--format", "json"]).stdout,
        "{\n  \"list\": []\n}\n"
    );
    let text = "launch failed: instance \"polis\" is being prepared\n";
    assert_eq!(
        denied(&sandbox, &["--name", "polis"]),
        (Some(2), text.to_owned())
    );
    child.kill();
    let_time_pass(&sandbox);
    assert_eq!(sandbox.power(), Some(Power::Running));
}

#[test]
fn one_of_two_concurrent_launches_is_refused() {
    let sandbox = Sandbox::new();
    let both = [(); 2].map(|()| sandbox.start_multipass(&LAUNCH, CLOUD_INIT.as_bytes()));
    let mut codes = both.map(|child| child.wait().code);
    codes.sort();
    assert_eq!(codes, [Some(0), Some(2)]);
}

#[test]
fn a_timeout_of_the_client_is_code_5_and_the_machine_continues() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.timing.provision = LONG);
    let args = [
        "launch",
        "--name",
        "polis",
        "--timeout",
        "1",
        "--cloud-init",
        "-",
    ];
    let ran = sandbox.multipass(&args, CLOUD_INIT.as_bytes());
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(5), "Timed out waiting for instance launch.\n")
    );
    let_time_pass(&sandbox);
    until("it is provisioned", || {
        sandbox.instance().is_some() && sandbox.guest_has("/var/lib/polis/provisioned.json")
    });
}

#[test]
fn a_launch_can_fail_in_several_ways() {
    let struck = |effect: Effect| {
        let sandbox = Sandbox::new();
        sandbox.fault(Fault::of("launch", effect));
        let ran = launch(&sandbox);
        (sandbox, ran.code, ran.stderr)
    };
    let (sandbox, code, text) = struck(Effect::ClientTimeout);
    assert_eq!(
        (code, text.as_str()),
        (Some(5), "Timed out waiting for instance launch.\n")
    );
    assert_eq!(sandbox.power(), Some(Power::Running));

    let (sandbox, code, text) = struck(Effect::InitTimeout);
    let words = "launch failed: The following errors occurred:\npolis: timed out waiting for initialization to complete\n";
    assert_eq!((code, text.as_str()), (Some(2), words));
    assert_eq!(sandbox.power(), Some(Power::Running));

    let (sandbox, code, text) = struck(Effect::SshTimeout);
    let words =
        "launch failed: The following errors occurred:\npolis: timed out waiting for response\n";
    assert_eq!((code, text.as_str()), (Some(2), words));
    assert_eq!(sandbox.power(), Some(Power::Unknown));

    let (sandbox, code, _) = struck(Effect::DiesStarting);
    assert_eq!((code, sandbox.power()), (Some(2), None));
    assert!(!sandbox.guest().root().exists());
    assert_eq!(launch(&sandbox).code, Some(0));
}

#[test]
fn a_launch_succeeds_despite_a_failed_step() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::of(
        "launch",
        Effect::StepFails("sysbox".into(), "no \"box\"".into()),
    ));
    let ran = launch(&sandbox);
    assert!(
        ran.code == Some(0) && ran.stdout.ends_with("Launched: polis\n"),
        "{}",
        ran.seen()
    );
    assert!(!sandbox.guest_has("/var/lib/polis/provisioned.json"));
    let states = "jq -r '.status, .step, .message, .exit_code, .steps[].state' /var/lib/polis/provision.json";
    assert_eq!(
        guest(&sandbox, states),
        "failed\nsysbox\nno \"box\"\n1\ndone\ndone\nfailed\npending\npending\npending\npending\n"
    );
    assert!(
        guest(&sandbox, "tail -n 1 /var/log/polis-provision.log")
            .starts_with("polis-provision: failed in step sysbox: no")
    );
    assert_eq!(
        crate::sh(&sandbox, "cloud-init status").seen(),
        "exit 1\n--- stdout\nstatus: error\n"
    );

    let again = "sudo -n systemd-run --unit=polis-provision /usr/local/lib/polis/provision.sh";
    guest(&sandbox, again);
    assert!(sandbox.guest_has("/var/lib/polis/provisioned.json"));
    assert_eq!(
        crate::sh(&sandbox, "cloud-init status").code,
        Some(1),
        "cloud-init remembers"
    );
}

#[test]
fn user_data_may_never_be_applied() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::of("launch", Effect::UserDataIgnored));
    assert_eq!(launch(&sandbox).code, Some(0));
    assert_eq!(
        guest(
            &sandbox,
            "cloud-init status; ls /usr/local/lib/polis /var/log/polis-provision.log 2>/dev/null || echo nothing"
        ),
        "status: done\nnothing\n"
    );
}

#[test]
fn degraded_is_code_2_with_a_marker() {
    let sandbox = Sandbox::new();
    sandbox.fault(Fault::of("launch", Effect::Degraded));
    launch(&sandbox);
    assert_eq!(crate::sh(&sandbox, "cloud-init status").code, Some(2));
    assert!(sandbox.guest_has("/var/lib/polis/provisioned.json"));
    // A quoted mode has the same effect: yaml-cpp removes the quotes.
    let sandbox = Sandbox::new();
    let quoted = CLOUD_INIT.replace("permissions: 0o755", "permissions: '0755'");
    sandbox.multipass(&LAUNCH, quoted.as_bytes());
    assert_eq!(crate::sh(&sandbox, "cloud-init status").code, Some(2));
}
