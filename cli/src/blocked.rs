//! States of the VM in which a person has to act first. `start` refuses them; `status` and `doctor` report them.

use crate::error::{Error, Kind};
use crate::guest::probe::{Guest, Provisioning};
use crate::instance::vm;
use crate::multipass::refusal;
use crate::multipass::state::{NO_ANSWER, Outlook, VmState};
use crate::platform;

/// Why a person has to act first: the VM is deleted, stuck or was never provisioned, or its Docker is down.
pub(crate) fn reason(machine: &VmState, guest: Option<&Guest>) -> Option<Box<Error>> {
    match (machine.outlook(), guest) {
        (Outlook::Deleted, _) => Some(refusal::deleted()),
        (Outlook::Stuck, _) => Some(stuck(machine)),
        (Outlook::Up, Some(guest)) => match guest.provisioning() {
            Provisioning::Done if guest.docker_down => Some(docker_down()),
            Provisioning::Never => Some(never_provisioned()),
            _ => None,
        },
        _ => None,
    }
}

/// A state that no call of polis can leave.
pub(crate) fn stuck(machine: &VmState) -> Box<Error> {
    let error = Error::new(
        Kind::Machine,
        format!("the VM is in the state `{}`", machine.word()),
    );
    match machine {
        VmState::DelayedShutdown => error
            .because("a delayed shutdown is under way")
            .next(format!(
                "multipass stop --cancel {}, then: polis start",
                vm()
            )),
        _ => error
            .next(format!(
                "multipass stop --force {}, then: polis start",
                vm()
            ))
            .next("polis doctor"),
    }
}

/// A VM that has not answered for `seconds`, longer than it takes to boot.
pub(crate) fn hangs(seconds: u64) -> Box<Error> {
    Error::new(Kind::Machine, NO_ANSWER)
        .because(format!(
            "it has not answered within {seconds} s; a frequent cause is a full disk on this host"
        ))
        .next(format!(
            "multipass stop --force {}, then: polis start",
            vm()
        ))
        .next(platform::UNREACHABLE_VM)
        .next("polis doctor")
}

/// cloud-init has finished, but the provisioning script is missing.
pub(crate) fn never_provisioned() -> Box<Error> {
    Error::new(Kind::Provisioning, "the VM was not provisioned")
        .because("cloud-init finished without the user-data of polis: Multipass did not deliver it")
        .next("polis delete --purge, then: polis start")
}

/// Refuses before anything is launched: otherwise the pull would fail minutes later without a reason.
pub(crate) fn no_images(reason: String) -> Box<Error> {
    Error::new(Kind::Machine, "the stack cannot run on this machine")
        .because(reason)
        .next(ANOTHER_MACHINE)
        .next("polis doctor")
}

/// polis does not start Docker: the VM's systemd does, and has given up.
fn docker_down() -> Box<Error> {
    Error::new(Kind::Unhealthy, "Docker does not answer in the VM")
        .because("its service is down, or did not come up in time after a boot")
        .next("polis exec --vm -- sudo systemctl restart docker, then: polis start")
        .next("polis exec --vm -- sudo journalctl -u docker -n 30")
}

/// What to do if the images are not published for this machine.
pub(crate) const ANOTHER_MACHINE: &str =
    "use a machine with one of these processors: a VM has the same processor as its host";

/// Why a VM of `architecture` cannot run the stack, whose images are published for `offered`; none if it can.
pub(crate) fn unpublished(architecture: &str, offered: &str) -> Option<String> {
    let known = offered.split(' ').any(|known| known == architecture);
    (!known).then(|| {
        format!("the service images are not published for {architecture}, only for: {offered}")
    })
}
