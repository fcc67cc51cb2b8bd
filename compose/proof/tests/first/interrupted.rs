//! A first start that does not get to its end: killed in each phase, without a network, without power. Each check goes
//! on where the one before stopped; the next `polis start` always does, and nothing is launched twice.

use std::time::Instant;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::ensure;
use crate::phase::{Begun, Shown};

/// cloud-init installs its packages, and our script has not begun.
const PACKAGES: Shown =
    Shown::Machine("pgrep -x apt-get >/dev/null && ! test -e /var/log/polis-provision.log");
const DOCKER: Shown = Shown::Machine(
    "test \"$(grep -o 'step [a-z-]* [a-z]*' /var/log/polis-provision.log | tail -n 1)\" = 'step docker-engine start'",
);
const SYSBOX: Shown = Shown::Machine(
    "test \"$(grep -o 'step [a-z-]* [a-z]*' /var/log/polis-provision.log | tail -n 1)\" = 'step sysbox start'",
);
const AGAIN: Shown = Shown::Machine("systemctl is-active --quiet polis-provision.service");
/// Some images are there and some are not.
const PULLING: Shown = Shown::Machine(
    "cd /opt/polis; all=$(docker compose config --images | sort -u | wc -l); have=$(docker images --quiet | wc -l); \
     test \"$have\" -ge 1 -a \"$have\" -lt \"$all\"",
);
/// Some containers run.
const STARTING: Shown = Shown::Machine("test \"$(docker ps --quiet | wc -l)\" -ge 2");

fn kill_in(bench: &Bench, shown: Shown) -> Result<()> {
    Begun::until(bench, shown)?.kill();
    Ok(())
}

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

pub(crate) fn killed_provisioning_again(bench: &mut Bench) -> Result<()> {
    kill_in(bench, AGAIN)
}

pub(crate) fn killed_transferring(bench: &mut Bench) -> Result<()> {
    kill_in(bench, Shown::Call("multipass transfer"))
}

pub(crate) fn killed_making_secrets(bench: &mut Bench) -> Result<()> {
    kill_in(bench, Shown::Call("scripts/generate-secrets.sh"))
}

/// The network goes with it, so that the pull cannot end meanwhile.
pub(crate) fn killed_pulling(bench: &mut Bench) -> Result<()> {
    let begun = Begun::until(bench, PULLING)?;
    bench.internet.cut()?;
    begun.kill();
    Ok(())
}

pub(crate) fn network_cut_pulling(bench: &mut Bench) -> Result<()> {
    let mut begun = Begun::until(bench, Shown::Call("polis-job"))?;
    begun.wait(
        bench,
        Shown::Machine("! timeout 1 bash -c '</dev/tcp/203.0.113.80/443' 2>/dev/null"),
    )?;
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
    power_off_in(bench, STARTING)
}

pub(crate) fn killed_waiting_for_health(bench: &mut Bench) -> Result<()> {
    kill_in(
        bench,
        Shown::Machine("test $(docker ps --quiet | wc -l) -ge 10"),
    )
}

/// The last start of all.
pub(crate) fn converged(bench: &mut Bench) -> Result<()> {
    let start = Instant::now();
    bench.polis("polis start, after all interruptions", &["start"])?;
    println!("{:.1}", start.elapsed().as_secs_f64());
    let launches = bench.world.calls_of("launch").len();
    ensure(launches == 1, || format!("{launches} launches"))?;
    all_are_well(&bench.guest)
}
