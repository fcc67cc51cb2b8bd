//! Removes single parts from a provisioned guest: a run detects and repairs exactly that. This shows that each step checks its whole
//! end state, without a new guest for each part.

use std::time::Instant;

use cloud_init_proof::Result;
use cloud_init_proof::guest::Guest;

use crate::ensure;
use crate::state::{STEPS, is_provisioned, steps};
use crate::whole::SCRIPT;

/// The loss, as a shell command, and the step that repairs it; `ready` always follows.
type Loss = (&'static str, &'static str);

const LOSSES: [Loss; 42] = [
    ("rm /var/lib/polis/provisioned.json", "ready"),
    (
        "echo changed >>/var/lib/cloud/instance/user-data.txt",
        "ready",
    ),
    ("rm /etc/apt/keyrings/docker.gpg", "docker-repo"),
    ("echo >>/etc/apt/keyrings/docker.gpg", "docker-repo"),
    ("rm /etc/apt/preferences.d/docker", "docker-repo"),
    (
        "sed -i s/-1/1000/ /etc/apt/preferences.d/docker",
        "docker-repo",
    ),
    (
        "cp /srv/stand-in/second-block /etc/apt/keyrings/docker.gpg",
        "docker-repo",
    ),
    (
        "cp /srv/stand-in/two-keys /etc/apt/keyrings/docker.gpg",
        "docker-repo",
    ),
    (
        "cp /srv/stand-in/other-key /etc/apt/keyrings/docker.gpg",
        "docker-repo",
    ),
    ("rm /etc/apt/sources.list.d/docker.list", "docker-repo"),
    (
        "echo '# more' >>/etc/apt/sources.list.d/docker.list",
        "docker-repo",
    ),
    ("rm /var/lib/apt/lists/download.docker.com*", "docker-repo"),
    ("gpasswd --delete ubuntu docker", "docker-engine"),
    ("dpkg --remove docker-compose-plugin", "docker-engine"),
    (
        "systemctl stop docker.service docker.socket",
        "docker-engine",
    ),
    ("systemctl disable docker.service", "docker-engine"),
    (
        "dpkg --unpack /srv/stand-in/www/download.docker.com/linux/ubuntu/dists/trixie/pool/stable/amd64/docker-c*.deb",
        "docker-engine",
    ),
    ("systemctl stop sysbox-mgr.service", "sysbox"),
    ("systemctl stop sysbox-fs.service", "sysbox"),
    ("dpkg --purge sysbox-ce; systemctl daemon-reload", "sysbox"),
    ("rm /usr/local/bin/yq", "yq"),
    ("echo >>/usr/local/bin/yq", "yq"),
    ("chmod 0644 /usr/local/bin/yq", "yq"),
    ("sysctl -w kernel.randomize_va_space=1", "hardening"),
    ("sysctl -w kernel.dmesg_restrict=0", "hardening"),
    ("sysctl -w kernel.kptr_restrict=1", "hardening"),
    ("sysctl -w fs.suid_dumpable=2", "hardening"),
    ("sysctl -w kernel.yama.ptrace_scope=1", "hardening"),
    ("sysctl -w kernel.io_uring_disabled=0", "hardening"),
    ("sysctl -w fs.protected_fifos=0", "hardening"),
    ("sysctl -w net.ipv4.conf.all.send_redirects=1", "hardening"),
    // As with another kernel: ours does not remove rules until it boots.
    ("rm /run/audit.locked; auditctl -D", "hardening"),
    (
        "rm /run/audit.locked; sed -i /containerd/d /run/audit.rules",
        "hardening",
    ),
    ("rm /run/audit.locked", "hardening"),
    ("rm /etc/audit/rules.d/zz-immutable.rules", "hardening"),
    ("systemctl stop auditd.service", "hardening"),
    ("systemctl stop apparmor.service", "hardening"),
    ("systemctl disable auditd.service", "hardening"),
    ("systemctl disable apparmor.service", "hardening"),
    ("passwd --delete root", "hardening"),
    ("systemctl disable polis.service", "polis-unit"),
    ("chown root:root /opt/polis", "polis-unit"),
];

/// Runs alone, because each step that makes systemd reload its units also repairs it.
const CHANGED_UNIT: Loss = (
    "cd /etc/systemd/system; sed -i 's/^Description.*/&./' polis.service; touch -d tomorrow polis.service",
    "polis-unit",
);

/// Removes each part on a provisioned guest.
pub(crate) fn all(guest: &Guest, start: Instant) -> Result<()> {
    for round in rounds().into_iter().chain([vec![CHANGED_UNIT]]) {
        let losses: Vec<&str> = round.iter().map(|(loss, _)| *loss).collect();
        let losses = losses.join("; ");
        one(guest, &losses, &round)
            .map_err(|error| format!("after `{losses}`: {error}\n{}", guest.story()))?;
        println!(
            "{:7.1} s  .       whole: repairs {}",
            start.elapsed().as_secs_f64(),
            losses
        );
    }
    containers_in_the_way(guest)?;
    is_provisioned(guest)
}

/// The losses of each run: at most one per step, since a step may repair another loss undetected; and those that only `ready` repairs,
/// since it always runs.
fn rounds() -> Vec<Vec<Loss>> {
    let mut rounds: Vec<Vec<Loss>> = Vec::new();
    for loss in LOSSES {
        let apart = |other: &Loss| other.1 != loss.1 && ![other.1, loss.1].contains(&"ready");
        match rounds.iter_mut().find(|round| round.iter().all(apart)) {
            Some(round) => round.push(loss),
            None => rounds.push(vec![loss]),
        }
    }
    rounds
}

/// Sysbox's package refuses to be installed while a container exists: the script reports this before it tries.
fn containers_in_the_way(guest: &Guest) -> Result<()> {
    guest.output(
        "dpkg --purge sysbox-ce; systemctl daemon-reload
         tar --create --directory=/ etc/hostname | docker import - one; docker create --name one one true",
    )?;
    let ran = guest.ran(SCRIPT)?;
    ensure(
        ran.code == 1 && ran.stdout.contains("while containers exist"),
        || format!("{ran:?}"),
    )?;
    guest
        .output(&format!("docker rm one; docker rmi one; {SCRIPT}"))
        .map(drop)
}

fn one(guest: &Guest, losses: &str, mending: &[Loss]) -> Result<()> {
    // This many starts in such a short time would hit systemd's rate limits.
    guest.output(&format!("systemctl reset-failed; {losses}"))?;
    guest.output(SCRIPT)?;
    let wanted: Vec<&str> = STEPS
        .iter()
        .copied()
        .map(|step| {
            let repaired = step == "ready" || mending.iter().any(|(_, by)| *by == step);
            if repaired { "done" } else { "skipped" }
        })
        .collect();
    let found = steps(guest)?;
    ensure(found == wanted, || {
        format!("{found:?} instead of {wanted:?}")
    })
}
