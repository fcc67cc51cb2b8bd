//! The plan for each state that a workspace can be in.

mod agents;
mod refused;

use super::*;
use crate::guest::probe::{Difference, Installed};
use crate::guest::service::Service;

fn payload(text: &str) -> Payload {
    Payload::new("x", text.as_bytes())
}

fn desired() -> Desired {
    Desired {
        cpus: 4,
        memory: Size::memory("8G").unwrap(),
        disk: Size::disk("40G").unwrap(),
        timeout: Duration::from_secs(900),
        user_data: payload("user-data"),
        marker: None,
        proxies: Proxies::default(),
        bundle: payload("bundle"),
        agent: None,
        agents: true,
        architecture: "amd64".into(),
        offered: "amd64".into(),
        recreate_workspace: false,
    }
}

fn agent(text: &str) -> Agent {
    Agent {
        name: "coder".into(),
        archive: payload(text),
        manifest: None,
        compose: None,
        keys: crate::agent::Keys::default(),
    }
}

fn installed(text: &str) -> Installed {
    Installed {
        name: "coder".into(),
        digest: Digest::of(text.as_bytes()),
        trusted: true,
        layered: true,
    }
}

fn service(name: &str, state: &str, health: &str) -> Service {
    Service {
        name: name.into(),
        state: state.into(),
        health: health.into(),
        exit_code: 0,
    }
}

/// A complete guest.
fn whole() -> Guest {
    let bundle = Digest::of(b"bundle");
    Guest {
        architecture: "amd64".into(),
        cloud_init: "done".into(),
        report: Some("done".into()),
        marker: Some(Digest::of(b"marker")),
        bundle: Some(bundle),
        secrets: true,
        ready: Some(bundle.hex()),
        images: (2, 2),
        services: vec![
            service("gate", "running", "healthy"),
            service("host-init", "exited", ""),
        ],
        ..Guest::default()
    }
}

fn names(machine: VmState, guest: Option<Guest>, desired: &Desired) -> Vec<String> {
    let observed = Observed {
        machine: Some(machine),
        guest,
    };
    steps(&observed, desired)
        .unwrap()
        .iter()
        .map(name)
        .collect()
}

/// The name of a step in reports.
fn name(step: &Step) -> String {
    let name = serde_json::to_value(step.name()).unwrap();
    name.as_str().unwrap().to_owned()
}

/// The steps for a running VM that is complete except for `break_it`.
fn after(break_it: impl FnOnce(&mut Guest)) -> Vec<String> {
    let mut guest = whole();
    break_it(&mut guest);
    names(VmState::Running, Some(guest), &desired())
}

const EVERYTHING_INSIDE: [&str; 7] = [
    "await-provisioning",
    "install-bundle",
    "make-secrets",
    "pull",
    "start-services",
    "await-health",
    "mark-ready",
];

#[test]
fn nothing_is_done_for_a_complete_workspace() {
    assert_eq!(after(|_| ()), [] as [&str; 0]);
}

#[test]
fn without_a_vm_every_step_is_planned_in_order() {
    let observed = Observed {
        machine: None,
        guest: None,
    };
    let steps = steps(&observed, &desired()).unwrap();
    let names: Vec<String> = steps.iter().map(name).collect();
    assert_eq!(names[0], "launch");
    assert_eq!(names[1..], EVERYTHING_INSIDE);
}

#[test]
fn only_missing_parts_are_planned() {
    assert_eq!(
        after(|guest| *guest = Guest {
            cloud_init: "running".into(),
            ..Guest::default()
        }),
        EVERYTHING_INSIDE
    );
    assert_eq!(
        after(|guest| {
            guest.marker = None;
            guest.report = Some("failed".into());
        }),
        ["provision-again", "await-provisioning"]
    );
    assert_eq!(after(|guest| guest.secrets = false), ["make-secrets"]);
    assert_eq!(
        after(|guest| guest.images = (1, 2)),
        ["pull", "await-health"]
    );
    assert_eq!(
        after(|guest| guest.services[0].state = "exited".into()),
        ["start-services", "await-health"]
    );
    assert_eq!(
        after(|guest| guest.services.clear()),
        ["start-services", "await-health"]
    );
    assert_eq!(
        after(|guest| guest.services[0].health = "starting".into()),
        ["await-health"]
    );
    assert_eq!(
        after(|guest| guest.ready = None),
        ["start-services", "await-health", "mark-ready"]
    );
}

#[test]
fn a_newer_cli_upgrades_the_stack_without_provisioning() {
    assert_eq!(
        after(|guest| {
            guest.bundle = Some(Digest::of(b"older"));
            guest.ready = Some(Digest::of(b"older").hex());
        }),
        EVERYTHING_INSIDE[1..]
    );
}

/// The command of the step that starts the services.
fn up(guest: Guest, desired: &Desired) -> Vec<String> {
    let observed = Observed {
        machine: Some(VmState::Running),
        guest: Some(guest),
    };
    let steps = steps(&observed, desired).unwrap();
    let job = steps.iter().find_map(|step| match step {
        Step::Up(job) => Some(job.start.args[10..].to_vec()),
        _ => None,
    });
    job.expect("a step that starts the services")
}

#[test]
fn containers_are_recreated_only_for_a_different_stack() {
    let mut guest = whole();
    guest.ready = Some(Digest::of(b"older").hex());
    assert_eq!(
        up(guest, &desired()),
        ["scripts/stack.sh", "up", "--recreate"]
    );

    let mut guest = whole();
    guest.services.clear();
    assert_eq!(up(guest, &desired()), ["scripts/stack.sh", "up"]);

    let mut guest = whole();
    guest.services[0].health = "unhealthy".into();
    assert_eq!(up(guest, &desired()), ["scripts/stack.sh", "up", "gate"]);
}

#[test]
fn the_workspace_is_recreated_only_on_request_and_if_it_differs() {
    let wanted = Desired {
        recreate_workspace: true,
        ..desired()
    };
    let differs = || Guest {
        workspace_differs: Some(Difference::Image),
        ..whole()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(
        names(VmState::Running, Some(differs()), &desired()),
        nothing
    );
    assert_eq!(names(VmState::Running, Some(whole()), &wanted), nothing);
    assert_eq!(
        names(VmState::Running, Some(differs()), &wanted),
        ["start-services", "await-health"]
    );
    let command = ["scripts/stack.sh", "up", "--recreate-workspace"];
    assert_eq!(up(differs(), &wanted), command);

    // Whether it differs from the new definition is unknown until that is installed.
    let mut guest = whole();
    guest.bundle = Some(Digest::of(b"older"));
    guest.ready = Some(Digest::of(b"older").hex());
    let command = [
        "scripts/stack.sh",
        "up",
        "--recreate",
        "--recreate-workspace",
    ];
    assert_eq!(up(guest, &wanted), command);
}

#[test]
fn ports_follow_the_address_of_the_vm() {
    let mut guest = whole();
    guest.ports_differ = true;
    assert_eq!(
        names(VmState::Running, Some(guest.clone()), &desired()),
        ["open-ports"]
    );
    // Installing a bundle or an agent also recreates the forwarder.
    guest.bundle = None;
    assert_eq!(
        names(VmState::Running, Some(guest), &desired())[0],
        "install-bundle"
    );
}

#[test]
fn a_stopped_vm_is_started_and_observed_again() {
    for state in [VmState::Stopped, VmState::Suspended] {
        assert_eq!(
            names(state, None, &desired()),
            ["start-machine", "look-again"]
        );
    }
    for state in [
        VmState::Starting,
        VmState::Restarting,
        VmState::Suspending,
        // A first boot.
        VmState::Unknown,
    ] {
        assert_eq!(
            names(state, None, &desired()),
            ["await-machine", "look-again"]
        );
    }
}

#[test]
fn the_launch_follows_the_contract() {
    let call = launch(&desired());
    assert_eq!(
        call.args,
        [
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
            "-"
        ]
    );
    assert_eq!(&*call.payload.unwrap().bytes, b"user-data");
}

#[test]
fn changed_proxies_are_set_first_and_the_guest_is_observed_again() {
    let proxies = Proxies {
        https: Some("http://proxy:3128".into()),
        ..Proxies::default()
    };
    let revision = proxies.revision();
    let behind = Desired {
        proxies,
        ..desired()
    };
    let set = ["set-proxies", "look-again"];
    assert_eq!(names(VmState::Running, Some(whole()), &behind), set);
    let has = || Guest {
        proxies: revision.clone(),
        ..whole()
    };
    assert_eq!(names(VmState::Running, Some(has()), &behind), [""; 0]);
    // No longer set: they are removed.
    assert_eq!(names(VmState::Running, Some(has()), &desired()), set);
    // It may have failed because they were missing.
    let failed = Guest {
        marker: None,
        report: Some("failed".into()),
        ..whole()
    };
    let steps = names(VmState::Running, Some(failed), &behind);
    assert_eq!(
        steps,
        ["set-proxies", "provision-again", "await-provisioning"]
    );
    let runs = Guest {
        marker: None,
        cloud_init: "running".into(),
        ..whole()
    };
    let steps = names(VmState::Running, Some(runs), &behind);
    assert_eq!(steps, ["await-provisioning", "set-proxies", "look-again"]);
}

#[test]
fn a_new_vm_gets_its_proxies_only_from_our_user_data() {
    let nothing = Observed {
        machine: None,
        guest: None,
    };
    let proxies = Proxies {
        http: Some("http://proxy:3128".into()),
        ..Proxies::default()
    };
    for (marker, sets) in [(Some(Digest::of(b"ours")), false), (None, true)] {
        let desired = Desired {
            marker,
            proxies: proxies.clone(),
            ..desired()
        };
        let steps = steps(&nothing, &desired).unwrap();
        let found = steps.iter().any(|step| step.name() == StepName::SetProxies);
        assert_eq!(found, sets);
    }
}
