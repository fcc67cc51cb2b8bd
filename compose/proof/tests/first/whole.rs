//! From nothing to all containers healthy in one `polis start`, and where its time goes.

use std::time::Instant;

use polis_stack_proof::Result;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::health::all_are_well;

use crate::ensure;

pub(crate) fn from_nothing_in_one_start(bench: &mut Bench) -> Result<()> {
    let start = Instant::now();
    let ran = bench.world.polis_on_xterm(&["start"]);
    println!("{:.1} s", start.elapsed().as_secs_f64());
    std::fs::write("/tmp/lab-xterm.txt", &ran.stdout).ok();
    ensure(ran.code == Some(0), || ran.seen())?;
    all_are_well(&bench.guest)?;
    println!("{}", bench.guest.output("cat /var/lib/polis/provision.json | grep name; cloud-init analyze show | tail -50; cat /run/cloud-init/status.json; docker images | cat; cat /opt/polis/.jobs/*/log | tail -40; systemctl show -p ActiveEnterTimestamp,ActiveExitTimestamp ssh.service systemd-user-sessions.service docker sysbox")?);
    println!("{}", bench.world.calls().len());
    Ok(())
}
