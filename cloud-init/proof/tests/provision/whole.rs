//! The provisioning without faults: on a fresh guest, again, and after a reboot.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use cloud_init_proof::Result;
use cloud_init_proof::guest::Guest;

use crate::state::{STEPS, is_provisioned, steps};
use crate::{Bench, Case, drift, ensure, keys, pin};

/// How long cloud-init may take in a container.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);
/// The program under test.
pub(crate) const SCRIPT: &str = "/usr/local/lib/polis/provision.sh";

/// Prints everything that must not change if there is nothing to do: files with time, size, mode and inode; when units were started;
/// the state of Docker; the downloads.
const MANIFEST: &str = "
    find /etc /usr /opt /root /home /var/lib/dpkg /var/lib/apt /var/lib/cloud /var/lib/polis /var/cache/apt \
      \\( -path /var/lib/polis -o -path /var/lib/polis/lock -o -path /var/lib/polis/provision.json \\) -prune -false \
      -o -printf '%p %T@ %s %m %i\\n' | grep -v -e '^/var/lib/polis ' -e /lock -e provision.json -e '^/root ' | sort
    systemctl show --property=Id,InvocationID,ActiveEnterTimestampMonotonic \
      docker.service docker.socket containerd.service sysbox.service sysbox-mgr.service sysbox-fs.service \
      auditd.service apparmor.service polis.service
    docker ps --all --quiet; docker images --all --quiet; docker network ls --quiet
    passwd --status root; id ubuntu; auditctl -l; cat /var/log/stand-in.log";

/// The proofs of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "whole".to_owned(),
            prove: Box::new(whole),
        },
        Case {
            name: "whole_through_hiccups".to_owned(),
            prove: Box::new(hiccups),
        },
        Case {
            name: "whole_after_the_lock_of_the_lists_is_released".to_owned(),
            prove: Box::new(|bench| {
                let refused = "apt-get update failed";
                lock_released(bench, &bench.hasty, "/var/lib/apt/lists/lock", refused)
            }),
        },
        Case {
            name: "whole_after_the_lock_of_dpkg_is_released".to_owned(),
            prove: Box::new(|bench| {
                let waits = "Waiting for cache lock";
                lock_released(bench, &bench.document, "/var/lib/dpkg/lock-frontend", waits)
            }),
        },
    ]
}

fn part(name: &str, start: Instant) {
    println!(
        "{:7.1} s  .       whole: {name}",
        start.elapsed().as_secs_f64()
    );
}

fn whole(bench: &Bench) -> Result<()> {
    let guest = Guest::new(&bench.image.name, &bench.document, &[], &bench.dir)?;
    let start = Instant::now();
    guest.start()?;
    let ran = guest.cloud_init(LIMIT)?;
    ensure(ran.code == 0 && ran.stdout.contains("status: done"), || {
        format!("cloud-init status: {ran:?}\n{}", guest.story())
    })?;
    part("a real cloud-init run", start);
    is_provisioned(&guest).map_err(|error| format!("{error}\n{}", guest.story()))?;
    ensure(steps(&guest)? == vec!["done"; STEPS.len()], || {
        guest.story()
    })?;
    progress(&guest)?;
    part("the end state", start);
    twice(&guest)?;
    part("a second run changes nothing", start);
    one_at_a_time(&guest)?;
    part("one run at a time", start);
    reboot(&guest)?;
    part("a reboot", start);
    keys::all(&guest, &bench.dir)?;
    part("malformed key files", start);
    drift::all(&guest, start)
}

/// Progress lines for the CLI, and the table of times, both in cloud-init's own output.
fn progress(guest: &Guest) -> Result<()> {
    let output = guest.output("cat /var/log/cloud-init-output.log")?;
    let mut lines = output
        .lines()
        .filter(|line| line.starts_with("polis-provision: "));
    for &step in &*STEPS {
        for state in ["start 0", "done "] {
            let wanted = format!("polis-provision: step {step} {state}");
            ensure(
                lines.next().is_some_and(|line| line.starts_with(&wanted)),
                || format!("`{wanted}` is not the next line of progress in\n{output}"),
            )?;
        }
    }
    for step in STEPS.iter().copied().chain(["total"]) {
        let wanted = format!("polis-provision: time {step} ");
        ensure(
            lines.next().is_some_and(|line| line.starts_with(&wanted)),
            || format!("`{wanted}` is not the next line of times in\n{output}"),
        )?;
    }
    Ok(())
}

fn twice(guest: &Guest) -> Result<()> {
    let before = guest.output(MANIFEST)?;
    let output = guest.output(SCRIPT)?;
    let after = guest.output(MANIFEST)?;
    let old: HashSet<&str> = before.lines().collect();
    let changed: Vec<&str> = after.lines().filter(|line| !old.contains(line)).collect();
    ensure(before == after, || {
        format!("a second run changed\n{}", changed.join("\n"))
    })?;
    ensure(steps(guest)? == vec!["skipped"; STEPS.len()], || {
        output.clone()
    })?;
    ensure(!output.contains(" start "), || output.clone())?;
    is_provisioned(guest)
}

/// A concurrent run must not touch anything, nor count as a failure of the provisioning.
fn one_at_a_time(guest: &Guest) -> Result<()> {
    let before = guest.output("cat /var/lib/polis/provision.json")?;
    let ran = guest.ran(&format!("flock /var/lib/polis/lock {SCRIPT}"))?;
    ensure(
        ran.code == 75 && ran.stderr.contains("another run is in progress"),
        || format!("{ran:?}"),
    )?;
    let after = guest.output("cat /var/lib/polis/provision.json")?;
    ensure(before == after, || {
        "the refused run changed the report".to_owned()
    })?;
    ensure(guest.has("/var/lib/polis/provisioned.json")?, || {
        "the marker is gone".to_owned()
    })?;
    let ran = guest.ran(&format!("runuser --user ubuntu {SCRIPT}"))?;
    ensure(
        ran.code == 1 && ran.stderr.contains("must run as root"),
        || format!("{ran:?}"),
    )
}

/// Everything is unchanged. The stack stays down until the CLI has started it once, and then starts automatically.
fn reboot(guest: &Guest) -> Result<()> {
    restart(guest)?;
    is_provisioned(guest).map_err(|error| format!("after a reboot: {error}\n{}", guest.story()))?;
    guest.output(
        "printf 'name: polis\\nservices:\\n  one:\\n    image: one\\n    network_mode: none\\n    runtime: sysbox-runc\\n    \
         command: [/usr/bin/sleep, infinity]\\n' >/opt/polis/compose.yaml
         { echo usr/bin/sleep; ldd /usr/bin/sleep | grep -o '/[^ ]*' | sed 's|^/||'; } |
           tar --create --dereference --directory=/ --files-from=- | docker import - one >/dev/null
         touch /opt/polis/.ready",
    )?;
    restart(guest)?;
    let state = guest.ran(
        "for i in $(seq 40); do systemctl is-active -q polis && break; sleep 0.5; done; \
         docker ps --format '{{.Names}}'",
    )?;
    ensure(state.stdout.contains("polis-one-1"), || {
        format!(
            "the stack is down after a reboot: {state:?}\n{}",
            guest.story()
        )
    })?;
    guest.output("cat /proc/sys/kernel/dmesg_restrict | grep 1; systemctl stop polis.service")?;
    let state = guest.output("docker ps --quiet")?;
    ensure(state.is_empty(), || {
        format!("still there after stopping polis.service: {state}")
    })?;
    guest
        .output("rm /opt/polis/.ready; cd /opt/polis; docker compose down; docker rmi one; rm compose.yaml")
        .map(drop)
}

fn restart(guest: &Guest) -> Result<()> {
    guest.restart()?;
    let ran = guest.cloud_init(LIMIT)?;
    ensure(ran.code == 0, || {
        format!("cloud-init after a reboot: {ran:?}")
    })?;
    // The boot is finished when nothing is left to start; the caller checks its end state.
    guest.ran("systemctl is-system-running --wait").map(drop)
}

/// Each download fails once, with a transient error.
fn hiccups(bench: &Bench) -> Result<()> {
    let guest = Guest::new(&bench.image.name, &bench.hasty, &[], &bench.dir)?;
    let served = |name: &str| pin(name).replace("https://", "");
    let faults = [
        &served("SYSBOX_URL_AMD64"),
        &served("YQ_URL_AMD64"),
        "download.docker.com/linux/ubuntu/gpg",
        "download.docker.com/linux/ubuntu/dists/trixie/InRelease",
        "download.docker.com/linux/ubuntu/dists/trixie/pool/stable/amd64/docker-ce_amd64.deb",
    ]
    .map(|name| format!("{name} busy\n"));
    guest.put(&bench.dir, "/srv/stand-in/faults", &faults.concat())?;
    ends_well(&guest)?;
    let refused = guest.output("grep -c ' 503 ' /var/log/stand-in.log")?;
    ensure(refused == "5", || {
        format!("{refused} requests were refused")
    })
}

/// Another program holds a lock that the provisioning needs, and releases it once the log contains `said`.
fn lock_released(bench: &Bench, document: &str, lock: &str, said: &str) -> Result<()> {
    let guest = Guest::new(&bench.image.name, document, &[], &bench.dir)?;
    guest.put(&bench.dir, "/srv/stand-in/hold-lock", &format!("{lock}\n"))?;
    guest.start()?;
    let waits = format!(
        "for i in $(seq 600); do grep -q '{said}' /var/log/polis-provision.log && exit; sleep 0.1; done; exit 1"
    );
    guest
        .output(&waits)
        .map_err(|error| format!("{error}\n{}", guest.story()))?;
    guest.output("rm /srv/stand-in/hold-lock")?;
    let ran = guest.cloud_init(LIMIT)?;
    ensure(ran.code == 0, || format!("{ran:?}\n{}", guest.story()))?;
    is_provisioned(&guest)
}

fn ends_well(guest: &Guest) -> Result<()> {
    guest.start()?;
    let ran = guest.cloud_init(LIMIT)?;
    ensure(ran.code == 0, || format!("{ran:?}\n{}", guest.story()))?;
    is_provisioned(guest).map_err(|error| format!("{error}\n{}", guest.story()))
}
