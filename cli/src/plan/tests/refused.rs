//! The states that a plan refuses.

use super::*;
use crate::error::Kind;

#[test]
fn states_that_need_the_user_are_refused() {
    let refused = |machine, guest| {
        let observed = Observed {
            machine: Some(machine),
            guest,
        };
        steps(&observed, &desired()).unwrap_err().kind
    };
    assert_eq!(refused(VmState::Deleted, None), Kind::Deleted);
    for state in [
        VmState::DelayedShutdown,
        VmState::Other("Unavailable".into()),
    ] {
        assert_eq!(refused(state, None), Kind::Machine);
    }
    let silent = Guest {
        docker_down: true,
        ..whole()
    };
    assert_eq!(refused(VmState::Running, Some(silent)), Kind::Unhealthy);
    let never = Guest {
        cloud_init: "done".into(),
        ..Guest::default()
    };
    assert_eq!(refused(VmState::Running, Some(never)), Kind::Provisioning);
}

#[test]
fn an_architecture_without_images_is_refused_first() {
    let desired = Desired {
        architecture: "arm64".into(),
        ..desired()
    };
    let mut emulated = whole();
    emulated.architecture = String::new();
    for (machine, guest) in [
        (None, None),
        (Some(VmState::Stopped), None),
        (Some(VmState::Starting), None),
        (Some(VmState::Running), Some(emulated)),
    ] {
        let error = steps(&Observed { machine, guest }, &desired).expect_err("arm64");
        assert_eq!(error.kind, Kind::Machine);
        let reason = "the service images are not published for arm64, only for: amd64";
        assert_eq!(error.causes, [reason]);
    }
    // The VM's own answer takes precedence, in both directions.
    let mut arm64 = whole();
    arm64.architecture = "arm64".into();
    let observed = |guest| Observed {
        machine: Some(VmState::Running),
        guest: Some(guest),
    };
    assert!(steps(&observed(arm64), &self::desired()).is_err());
    assert!(
        steps(&observed(whole()), &desired)
            .expect("amd64")
            .is_empty()
    );
}

/// Once an image exists for each service, nothing else prevents the start.
#[test]
fn an_architecture_with_images_is_supported() {
    let desired = Desired {
        architecture: "arm64".into(),
        offered: "amd64 arm64".into(),
        ..desired()
    };
    let observed = Observed {
        machine: None,
        guest: None,
    };
    assert_eq!(
        steps(&observed, &desired).expect("steps")[0].name(),
        StepName::Launch
    );
}
