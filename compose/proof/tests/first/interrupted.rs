//! An interrupted first start: killed in each phase, without a network, without power. Each check resumes where the previous one
//! stopped: the next `polis start` always succeeds, and nothing is launched twice.

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;
use polis_stack_proof::internet::REGISTRY;

use crate::ensure;
use crate::phase::{Begun, Shown, story};

/// cloud-init installs its packages, and our script has not started.
const PACKAGES: Shown =
    Shown::Machine("pgrep -x apt-get >/dev/null && ! test -e /var/log/polis-provision.log");
/// The last step that our script has logged.
const DOCKER: Shown = Shown::Machine(
    "grep -o 'step [a-z-]* [a-z]*' /var/log/polis-provision.log | tail -n 1 | grep -q 'docker-engine start'",
);
const SYSBOX: Shown = Shown::Machine(
    "grep -o 'step [a-z-]* [a-z]*' /var/log/polis-provision.log | tail -n 1 | grep -q 'sysbox start'",
);
/// `polis` runs our script again.
const AGAIN: Shown = Shown::Machine("systemctl is-active --quiet polis-provision.service");
/// Some images are present, but not all.
const PULLING: Shown = Shown::Machine(
    "cd /opt/polis; all=$(docker compose config --images | sort -u | wc -l); have=$(docker images --quiet | wc -l); \
     test \"$have\" -ge 1 -a \"$have\" -lt \"$all\"",
);
/// The first services run.
const STARTING: Shown = Shown::Machine("test \"$(docker ps --quiet | wc -l)\" -ge 2");
/// More services run, but not all.
const HALF: Shown =
    Shown::Machine("running=$(docker ps --quiet | wc -l); test $running -ge 4 -a $running -lt 9");
const WAITING: Shown = Shown::Told("Waiting until every service is healthy");

/// `polis` and its call of `multipass` get SIGKILL.
fn kill_in(bench: &Bench, shown: Shown) -> Result<()> {
    Begun::until(bench, shown)?.kill();
    Ok(())
}

/// The machine loses its power, then `polis` is killed too.
fn power_off_in(bench: &Bench, shown: Shown) -> Result<()> {
    let begun = Begun::until(bench, shown)?;
    bench.guest.power_off()?;
    begun.kill();
    Ok(())
}

pub(crate) fn killed_booting(bench: &mut Bench) -> Result<()> {
    kill_in(bench, Shown::On)
}

pub(crate) fn killed_installing_packages(bench: &mut Bench) -> Result<()> {
    kill_in(bench, PACKAGES)
}

pub(crate) fn killed_installing_docker(bench: &mut Bench) -> Result<()> {
    kill_in(bench, DOCKER)
}

pub(crate) fn powered_off_installing_sysbox(bench: &mut Bench) -> Result<()> {
    power_off_in(bench, SYSBOX)
}

/// cloud-init runs our script only once; after the power cut, `polis` has to run it again.
pub(crate) fn killed_provisioning_again(bench: &mut Bench) -> Result<()> {
    kill_in(bench, AGAIN)
}

pub(crate) fn killed_transferring(bench: &mut Bench) -> Result<()> {
    kill_in(bench, Shown::Call("multipass transfer"))
}

pub(crate) fn killed_creating_secrets(bench: &mut Bench) -> Result<()> {
    kill_in(bench, Shown::Call("scripts/generate-secrets.sh"))
}

/// The network is cut first, so that the pull cannot finish meanwhile.
pub(crate) fn killed_pulling(bench: &mut Bench) -> Result<()> {
    let begun = Begun::until(bench, PULLING)?;
    bench.internet.cut()?;
    begun.kill();
    Ok(())
}

/// The network is still cut; when it is back, this same start completes the pull.
pub(crate) fn network_cut_pulling(bench: &mut Bench) -> Result<()> {
    let mut begun = Begun::until(bench, Shown::Call("polis-job"))?;
    let tried = format!("timeout 1 bash -c '</dev/tcp/{REGISTRY}/443'");
    let reached = bench.guest.ran(&tried)?.code == 0;
    ensure(!reached, || {
        "the registry answers without a network".to_owned()
    })?;
    begun.wait(bench, PULLING)?;
    bench.internet.restore()?;
    begun.wait(bench, Shown::Call("scripts/stack.sh up"))?;
    begun.kill();
    Ok(())
}

pub(crate) fn killed_starting(bench: &mut Bench) -> Result<()> {
    kill_in(bench, STARTING)
}

pub(crate) fn powered_off_starting(bench: &mut Bench) -> Result<()> {
    power_off_in(bench, HALF)
}

pub(crate) fn killed_waiting_for_health(bench: &mut Bench) -> Result<()> {
    kill_in(bench, WAITING)
}

/// The last of these starts succeeds, with a single launch overall.
pub(crate) fn converged(bench: &mut Bench) -> Result<()> {
    let ran = bench.sandbox.polis(&["start"]);
    ensure(ran.code == Some(0), || {
        format!("{}\n{}", ran.seen(), story(bench))
    })?;
    all_are_well(&bench.guest)?;
    let launches = bench.sandbox.calls_of("launch").len();
    ensure(launches == 1, || format!("{launches} launches"))
}
