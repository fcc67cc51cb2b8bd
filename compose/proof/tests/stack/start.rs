//! The first start of everything, and the second one that has nothing to do.

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::ensure;

/// `polis start` on a machine where nothing is: when it ends, each service of the compose file is as it should be.
pub(crate) fn everything_is_well(bench: &mut Bench) -> Result<()> {
    bench.polis("polis start, from nothing", &["start"])?;
    all_are_well(&bench.guest)
}

/// A start when all is well changes nothing, in the machine or in any container.
pub(crate) fn a_second_start_does_nothing(bench: &mut Bench) -> Result<()> {
    const CONTAINERS: &str = "docker ps --all --quiet --no-trunc | xargs docker inspect \
        --format '{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}}' | sort";
    const FILES: &str = "find /opt/polis -printf '%p %T@ %m %U\\n' | sort";
    let look = |bench: &Bench| bench.guest.outputs(&[CONTAINERS, FILES]);
    let before = look(bench)?;
    bench.polis("polis start, all is well", &["start"])?;
    let after = look(bench)?;
    ensure(before == after, || {
        format!("before:\n{before:#?}\nafter:\n{after:#?}")
    })
}
