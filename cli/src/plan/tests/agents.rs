//! The parts of a plan that concern agents.

use super::*;
use crate::reports::start::PlannedStep;

#[test]
fn an_agent_is_layered_once() {
    let with = Desired {
        agent: Some(agent("one")),
        ..desired()
    };
    let expected = [
        "install-agent",
        "pull",
        "start-services",
        "await-health",
        "mark-ready",
    ];
    assert_eq!(names(VmState::Running, Some(whole()), &with), expected);

    let mut guest = whole();
    guest.agents = vec![installed("one")];
    guest.ready = Some(stack(&Digest::of(b"bundle"), &layered(&guest)));
    let nothing: [&str; 0] = [];
    assert_eq!(names(VmState::Running, Some(guest.clone()), &with), nothing);
    assert_eq!(
        names(VmState::Running, Some(guest.clone()), &desired()),
        nothing
    );

    let changed = Desired {
        agent: Some(agent("two")),
        ..desired()
    };
    assert_eq!(names(VmState::Running, Some(guest), &changed), expected);
}

#[test]
fn agents_are_removed_from_the_stack_and_added_again() {
    let mut guest = whole();
    guest.agents = vec![Installed {
        trusted: false,
        ..installed("one")
    }];
    guest.ready = Some(stack(&Digest::of(b"bundle"), &layered(&guest)));
    let without = Desired {
        agents: false,
        ..desired()
    };
    let up = [
        "layer-agents",
        "pull",
        "start-services",
        "await-health",
        "mark-ready",
    ];
    assert_eq!(names(VmState::Running, Some(guest.clone()), &without), up);
    guest.agents[0].layered = false;
    guest.ready = Some(Digest::of(b"bundle").hex());
    assert_eq!(
        names(VmState::Running, Some(guest.clone()), &without),
        [""; 0]
    );
    let back = [&up[..], &["await-agents"]].concat();
    assert_eq!(
        names(VmState::Running, Some(guest.clone()), &desired()),
        back
    );
    // Another agent adds this one again too; its keys are transferred after it.
    let mut keys = crate::agent::Keys::default();
    keys.add("KEY", "value".into()).unwrap();
    let other = Desired {
        agent: Some(Agent {
            name: "other".into(),
            keys,
            ..agent("two")
        }),
        ..desired()
    };
    let steps = names(VmState::Running, Some(guest), &other);
    assert_eq!(steps[..3], ["install-agent", "give-keys", "pull"]);
}

#[test]
fn a_plan_does_not_show_keys() {
    let mut keys = crate::agent::Keys::default();
    keys.add("KEY", "hidden".into()).unwrap();
    let step = Step::GiveKeys(guest::give_keys("coder", keys.payload()));
    let shown = format!(
        "{step:?} {} {}",
        to_text(std::slice::from_ref(&step)),
        serde_json::to_string(&PlannedStep::from(&step)).unwrap()
    );
    assert!(!shown.contains("hidden"), "{shown}");
    let digest = Digest::of(b"KEY=hidden\n");
    assert!(!shown.contains(&digest.hex()), "{shown}");
}
