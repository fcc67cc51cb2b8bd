//! The first start of the stack, and a second one with nothing to do.

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::ensure;

/// `polis start` on a fresh machine: afterwards, each service of the compose file is healthy or has finished.
pub(crate) fn everything_is_healthy(bench: &mut Bench) -> Result<()> {
    bench.polis("polis start, from nothing", &["start"])?;
    all_are_well(&bench.guest)
}

/// A start with nothing to do changes nothing, in the machine or in any container.
pub(crate) fn a_second_start_does_nothing(bench: &mut Bench) -> Result<()> {
    const CONTAINERS: &str = "docker ps --all --quiet --no-trunc | xargs docker inspect \
        --format '{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}}' | sort";
    const FILES: &str = "find /opt/polis -printf '%p %T@ %m %U\\n' | sort";
    let look = |bench: &Bench| bench.guest.outputs(&[CONTAINERS, FILES]);
    let before = look(bench)?;
    bench.polis("polis start, with nothing to do", &["start"])?;
    let after = look(bench)?;
    ensure(before == after, || {
        format!("before:\n{before:#?}\nafter:\n{after:#?}")
    })
}
