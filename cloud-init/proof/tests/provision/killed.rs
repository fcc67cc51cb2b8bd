//! Kills the provisioning in the middle of each step, like a power cut: no marker exists in between, and the next run continues as if
//! nothing had happened.

use cloud_init_proof::Result;
use cloud_init_proof::guest::Guest;

use crate::state::is_provisioned;
use crate::whole::{LIMIT, SCRIPT};
use crate::{Bench, Case, ensure};

/// The step, and the call at which it is killed: see `stand-ins/killer`.
const KILLS: [(&str, &str); 10] = [
    ("docker-repo", "apt-get Dir::Etc::sourcelist"),
    // dpkg is killed too, while it unpacks a package, which then counts as installed although it is not.
    ("docker-engine", "apt-get docker-ce Unpacking.docker-ce-cli"),
    ("docker-engine", "usermod docker"),
    ("sysbox", "apt-get sysbox.deb Unpacking.sysbox-ce"),
    ("sysbox", "mountpoint netns"),
    ("yq", "mv /usr/local/bin/yq"),
    ("polis-unit", "install /opt/polis"),
    ("hardening", "augenrules --load"),
    ("ready", "sync"),
    ("ready", "mv provisioned.json"),
];

const KILLER: &str = include_str!("../../stand-ins/killer");

/// The proofs of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![Case {
        name: "killed_in_each_step".to_owned(),
        prove: Box::new(prove),
    }]
}

fn prove(bench: &Bench) -> Result<()> {
    let guest = Guest::new(&bench.image.name, &bench.document, &[], &bench.dir)?;
    let names: Vec<&str> = KILLS
        .iter()
        .filter_map(|(_, call)| call.split(' ').next())
        .collect();
    for name in &names {
        guest.put(&bench.dir, &format!("/usr/local/bin/{name}"), KILLER)?;
    }
    for (at, (step, call)) in KILLS.into_iter().enumerate() {
        guest.put(&bench.dir, "/srv/stand-in/kill-at", &format!("{call}\n"))?;
        let ended = match at {
            // The first kill hits a run by cloud-init itself, which must detect it.
            0 => {
                guest.start()?;
                guest.cloud_init(LIMIT)?.code == 1
            }
            _ => guest.ran(SCRIPT)?.code == 137,
        };
        let error = |what: &str| format!("killed in {step}: {what}\n{}", guest.story());
        ensure(ended, || error("it ends as if nothing had happened"))?;
        killed(&guest, step).map_err(|why| error(&why))?;
    }
    let paths: Vec<String> = names
        .iter()
        .map(|name| format!("/usr/local/bin/{name}"))
        .collect();
    guest.output(&format!("rm -f /srv/stand-in/kill-at {}", paths.join(" ")))?;
    guest.output(SCRIPT)?;
    is_provisioned(&guest).map_err(|error| format!("{error}\n{}", guest.story()))
}

/// Checks that this was the step, and that the guest does not look provisioned.
fn killed(guest: &Guest, step: &str) -> Result<()> {
    let last = guest.output("grep -o 'step .* start' /var/log/polis-provision.log | tail -n 1")?;
    ensure(last == format!("step {step} start"), || {
        format!("the last step was `{last}`")
    })?;
    for file in ["provisioned.json", "provision.json"] {
        let there = guest.has(&format!("/var/lib/polis/{file}"))?;
        ensure(
            !there || step == "ready" && file == "provision.json",
            || format!("there is a {file}"),
        )?;
    }
    guest
        .output("! pgrep --full '^/bin/bash /usr/local/lib/polis'")
        .map(drop)
}
