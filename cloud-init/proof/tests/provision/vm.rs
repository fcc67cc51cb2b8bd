//! The provisioning on a full virtual machine: what only the guest's own kernel can show, now and after a reboot.

use std::time::{Duration, Instant};

use cloud_init_proof::guest::Guest;
use cloud_init_proof::{Result, vm};

use crate::state::{STEPS, is_provisioned, steps};
use crate::{Bench, Case, ensure};

/// How long cloud-init may take: the processor is emulated, and shared with the other proofs.
const LIMIT: Duration = Duration::from_secs(900);

/// Touches a file deep below each watched directory, and prints the directories for which the kernel recorded nothing.
const UNRECORDED: &str = "
    for directory in /var/lib/docker /etc/docker; do
      mkdir -p $directory/probe; touch $directory/probe/$1; rm -r $directory/probe
    done
    sync; sleep 1
    for directory in /var/lib/docker /etc/docker; do
      ausearch --input-logs --key docker --file $directory/probe/$1 >/dev/null || echo $directory
    done";

/// The proofs of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![Case {
        name: "vm".to_owned(),
        prove: Box::new(prove),
    }]
}

fn prove(bench: &Bench) -> Result<()> {
    let start = Instant::now();
    let part = |name: &str| {
        println!(
            "{:7.1} s  .       vm: {name}",
            start.elapsed().as_secs_f64()
        );
    };
    let vm = vm::prepare(&bench.dir, &bench.image)?;
    part("set up its parts");
    let guest = Guest::virtual_machine(&vm, &bench.document, &bench.dir)?;
    guest.start()?;
    let in_guest = |error: String| format!("{error}\n{}", guest.story());
    let ran = guest.cloud_init(LIMIT)?;
    ensure(ran.code == 0 && ran.stdout.contains("status: done"), || {
        format!("cloud-init status: {ran:?}\n{}", guest.story())
    })?;
    part("a real cloud-init run");
    ensure(steps(&guest)? == vec!["done"; STEPS.len()], || {
        guest.story()
    })?;
    is_provisioned(&guest).map_err(in_guest)?;
    kernel(&guest, "first").map_err(in_guest)?;
    part("the end state, with the kernel's own word");
    let marker = "cat /var/lib/polis/provisioned.json";
    let before = guest.output(marker)?;
    guest.restart()?;
    let ran = guest.cloud_init(LIMIT)?;
    ensure(ran.code == 0, || {
        format!("cloud-init after a reboot: {ran:?}")
    })?;
    guest.ran("systemctl is-system-running --wait")?;
    part("a reboot");
    is_provisioned(&guest).map_err(in_guest)?;
    kernel(&guest, "second").map_err(in_guest)?;
    ensure(guest.output(marker)? == before, || {
        "the reboot has provisioned again".to_owned()
    })?;
    part("the end state after it");
    Ok(())
}

/// What a container cannot show: how the kernel uses its rules and profiles, and that this boot started with values other than ours.
fn kernel(guest: &Guest, boot: &str) -> Result<()> {
    let started = guest.output("cat /proc/cmdline")?;
    for other in ["dmesg_restrict=0", "suid_dumpable=2", "ptrace_scope=1"] {
        ensure(started.contains(other), || {
            format!("{other} is not in {started}")
        })?;
    }
    let found = guest.output("auditctl -s | grep -E '^(enabled|pid)'")?;
    ensure(
        found.starts_with("enabled 2") && !found.ends_with("pid 0"),
        || format!("no process receives audit events: {found}"),
    )?;
    let unrecorded = guest.output(&UNRECORDED.replace("$1", boot))?;
    ensure(unrecorded.is_empty(), || {
        format!("changes below these are not recorded: {unrecorded}")
    })?;
    let apparmor = guest.output(
        "cat /sys/module/apparmor/parameters/enabled; grep docker-default /sys/kernel/security/apparmor/profiles",
    )?;
    ensure(apparmor == "Y\ndocker-default (enforce)", || {
        format!("AppArmor: {apparmor}")
    })?;
    let gated =
        guest.output("systemctl show --property=ActiveState,ConditionResult polis.service")?;
    let refused = boot == "first" || gated.contains("ConditionResult=no");
    ensure(gated.contains("ActiveState=inactive") && refused, || {
        format!("polis.service without a stack: {gated}")
    })?;
    let log = guest.ran("runuser --user ubuntu -- dmesg")?;
    ensure(log.code != 0, || {
        "everyone may read the kernel's log".to_owned()
    })
}
