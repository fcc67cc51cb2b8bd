//! Runs the provisioning with one fault: it stops in the affected step, reports that everywhere, and leaves later steps alone. Once
//! the cause is gone, a second run completes.

use cloud_init_proof::Result;
use cloud_init_proof::guest::Guest;

use crate::state::{STEPS, TRACES, is_provisioned, steps};
use crate::whole::{LIMIT, SCRIPT};
use crate::{Bench, Case, ensure, pin};

const DOCKER: &str = "download.docker.com/linux/ubuntu";
const ASSETS: &str = cloud_init_proof::image::ASSETS;

const AUDITD_FAILS: &str = "[Service]\nExecStart=\nExecStart=/bin/false\nRestart=no\n";
/// Fails only where the marker is written.
const JQ_FAILS: &str = "#!/bin/sh
case \"$*\" in *--raw-input*) exit 5 ;; esac
exec /usr/bin/jq \"$@\"
";

/// The path of a download from GitHub, by the name of its pin.
fn served(name: &str) -> String {
    pin(name).replace("https://github.com/", "")
}

/// For a failure in any step.
const ANY: &str = "";

/// A fault.
struct Broken {
    name: &'static str,
    /// The step that must be named; [`ANY`] if it is random.
    step: &'static str,
    /// A part of the expected message.
    says: &'static str,
    /// The faults of the servers: path and effect.
    fault: Option<(String, &'static str)>,
    /// A file that gets in the way.
    file: Option<(&'static str, &'static str)>,
    /// A further option for the container.
    option: Option<&'static str>,
    /// A change of the document: old and new text.
    change: Option<(&'static str, &'static str)>,
    /// A completed step that the failure has undone.
    undone: &'static str,
    /// The command that removes the cause, unless it is a fault of the servers.
    repair: &'static str,
}

const fn broken(name: &'static str, step: &'static str, says: &'static str) -> Broken {
    Broken {
        name,
        step,
        says,
        fault: None,
        file: None,
        option: None,
        change: None,
        undone: "",
        repair: "true",
    }
}

impl Broken {
    fn fault(self, name: String, fault: &'static str) -> Self {
        let fault = Some((name, fault));
        Self { fault, ..self }
    }

    fn file(self, path: &'static str, text: &'static str) -> Self {
        let file = Some((path, text));
        Self { file, ..self }
    }

    fn repair(self, repair: &'static str) -> Self {
        Self { repair, ..self }
    }
}

/// Faults of the key file, the repository and its packages.
fn docker() -> Vec<Broken> {
    let key = || format!("{DOCKER}/gpg");
    let pinned = "expected exactly the key";
    let package = |name: &str| format!("{DOCKER}/dists/trixie/pool/stable/amd64/{name}_amd64.deb");
    vec![
        broken("key_404", "docker-repo", "HTTP 404").fault(key(), "404"),
        broken("key_of_another", "docker-repo", pinned).fault(key(), "/srv/stand-in/other-key"),
        broken("second_key_in_the_block", "docker-repo", pinned)
            .fault(key(), "/srv/stand-in/two-keys"),
        broken("second_key_in_a_block", "docker-repo", pinned)
            .fault(key(), "/srv/stand-in/second-block"),
        Broken {
            change: Some(("DOCKER_KEY_FINGERPRINT=", "DOCKER_KEY_FINGERPRINT=0")),
            ..broken("wrong_fingerprint", "docker-repo", pinned)
        }
        .repair("sed -i s/FINGERPRINT=0/FINGERPRINT=/ /etc/polis/pins.env"),
        broken("repository_cut", "docker-repo", "apt-get update")
            .fault(format!("{DOCKER}/dists/trixie/InRelease"), "cut"),
        broken("repository_signed_wrongly", "docker-repo", "apt-get update").fault(
            format!("{DOCKER}/dists/trixie/InRelease"),
            "/srv/stand-in/forged",
        ),
        broken(
            "docker_package_404",
            "docker-engine",
            "download of packages",
        )
        .fault(package("docker-ce"), "404"),
        broken(
            "docker_package_changed",
            "docker-engine",
            "download of packages",
        )
        .fault(package("containerd.io"), "flip"),
        broken(
            "docker_package_cut",
            "docker-engine",
            "download of packages",
        )
        .fault(package("docker-ce-cli"), "cut"),
        broken("apt_lock_held", "docker-engine", "download of packages")
            .file("/srv/stand-in/hold-lock", "/var/lib/dpkg/lock-frontend\n")
            .repair("rm /srv/stand-in/hold-lock; sleep 1"),
    ]
}

/// Faults of downloads from GitHub, and of Sysbox.
fn github() -> Vec<Broken> {
    let [sysbox, yq] = ["SYSBOX_URL_AMD64", "YQ_URL_AMD64"].map(served);
    vec![
        broken("sysbox_404", "sysbox", "HTTP 404").fault(format!("github.com/{sysbox}"), "404"),
        broken("sysbox_wrong_checksum", "sysbox", ", expected ")
            .fault(format!("{ASSETS}/{sysbox}"), "flip"),
        broken("sysbox_cut", "sysbox", "download failed (curl exit code")
            .fault(format!("{ASSETS}/{sysbox}"), "cut"),
        broken("sysbox_stalls", "sysbox", "curl exit code 28")
            .fault(format!("{ASSETS}/{sysbox}"), "stall"),
        // Docker is down until Sysbox is up.
        Broken {
            undone: "docker-engine",
            ..broken(
                "sysbox_will_not_start",
                "sysbox",
                "systemctl start sysbox-mgr.service",
            )
        }
        .file("/srv/stand-in/broken-sysbox", "\n")
        .repair("rm /srv/stand-in/broken-sysbox"),
        broken(
            "sysbox_listed_but_broken",
            "sysbox",
            "a container under Sysbox",
        )
        .file("/srv/stand-in/broken-runc", "\n")
        .repair("rm /srv/stand-in/broken-runc"),
        broken("yq_404", "yq", "HTTP 404").fault(format!("github.com/{yq}"), "404"),
        broken("yq_wrong_checksum", "yq", ", expected ").fault(format!("{ASSETS}/{yq}"), "flip"),
    ]
}

/// Faults of the guest itself.
fn guest() -> Vec<Broken> {
    vec![
        Broken {
            change: Some((
                "      YQ_VERSION=",
                "      YQ_VERSION=v0\n      YQ_VERSION=",
            )),
            ..broken("pin_twice", "preflight", "YQ_VERSION is defined twice")
        }
        .repair("sed -i /YQ_VERSION=v0/d /etc/polis/pins.env"),
        broken("archive_404", "preflight", "download of packages")
            .fault("archive.ubuntu.com/ubuntu/jq.deb".to_owned(), "404"),
        Broken {
            option: Some("--tmpfs=/var/cache/apt:size=20m"),
            ..broken(
                "full_disk_of_packages",
                "docker-engine",
                "download of packages",
            )
        }
        .repair("mount -o remount,size=1g /var/cache/apt"),
        // Concurrent downloads fill the disk, so the step that fails is random. The report must fit nevertheless.
        Broken {
            option: Some("--tmpfs=/var/lib/polis:size=6m"),
            ..broken("full_disk_of_the_report", ANY, "")
        }
        .repair("mount -o remount,size=64m /var/lib/polis"),
        broken(
            "auditd_will_not_start",
            "hardening",
            "end state was not reached",
        )
        .file("/etc/systemd/system/auditd.service.d/zz.conf", AUDITD_FAILS)
        .repair("rm /etc/systemd/system/auditd.service.d/zz.conf; systemctl daemon-reload"),
        broken("opt_polis_in_the_way", "polis-unit", "install -d")
            .file("/opt/polis", "\n")
            .repair("rm /opt/polis"),
        broken("marker_cannot_be_made", "ready", "jq")
            .file("/usr/local/bin/jq", JQ_FAILS)
            .repair("rm /usr/local/bin/jq"),
    ]
}

/// The proofs of this file. A guest takes seconds of every core to start, so one goes through several causes.
pub(crate) fn cases() -> Vec<Case> {
    let all = docker().into_iter().chain(github()).chain(guest());
    let mut cases: Vec<Case> = chains(all).into_iter().map(case).collect();
    cases.push(Case {
        name: "broken_by_a_signal".to_owned(),
        prove: Box::new(signal),
    });
    cases
}

fn case(chain: Vec<Broken>) -> Case {
    let names: Vec<&str> = chain.iter().map(|broken| broken.name).collect();
    Case {
        name: format!("broken_{}", names.join("+")),
        prove: Box::new(move |bench| prove(&chain, bench)),
    }
}

/// Where a step is in the order of the script; `preflight` comes before all.
fn position(step: &str) -> Option<usize> {
    STEPS.iter().position(|name| *name == step)
}

/// As few chains as possible, each with causes for ever later steps. What fails anywhere is alone.
fn chains(all: impl Iterator<Item = Broken>) -> Vec<Vec<Broken>> {
    let (anywhere, mut ordered): (Vec<Broken>, Vec<Broken>) =
        all.partition(|broken| broken.step == ANY);
    ordered.sort_by_key(|broken| position(broken.step));
    let mut chains: Vec<Vec<Broken>> = Vec::new();
    for broken in ordered {
        let is_later = |chain: &&mut Vec<Broken>| {
            let last = chain.last().map(|last| position(last.step));
            last < Some(position(broken.step))
        };
        match chains.iter_mut().find(is_later) {
            Some(chain) => chain.push(broken),
            None => chains.push(vec![broken]),
        }
    }
    chains.extend(anywhere.into_iter().map(|broken| vec![broken]));
    chains
}

/// The step that failed before, and the step that this failure has undone.
#[derive(Clone)]
struct Before {
    step: String,
    undone: &'static str,
}

impl Before {
    /// The state that a run leaves of `step`, which comes before the failing step; `None` if both are right: the step
    /// that failed before may have reached its end state because its cause is gone.
    fn state(&self, step: &str) -> Option<&'static str> {
        match position(step).cmp(&position(&self.step)) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Less if step != self.undone => Some("skipped"),
            _ => Some("done"),
        }
    }
}

/// Breaks everything in `chain`, and takes one cause away after each failure.
fn prove(chain: &[Broken], bench: &Bench) -> Result<()> {
    let mut document = bench.hasty.clone();
    for (from, to) in chain.iter().filter_map(|broken| broken.change) {
        ensure(document.matches(from).count() == 1, || {
            format!("`{from}` does not occur exactly once")
        })?;
        document = document.replace(from, to);
    }
    let options: Vec<&str> = chain.iter().filter_map(|broken| broken.option).collect();
    let guest = Guest::new(&bench.image.name, &document, &options, &bench.dir)?;
    for (path, text) in chain.iter().filter_map(|broken| broken.file) {
        guest.put(&bench.dir, path, text)?;
    }
    let mut before: Option<Before> = None;
    for (at, broken) in chain.iter().enumerate() {
        let faults = chain[at..]
            .iter()
            .filter_map(|broken| broken.fault.as_ref());
        let faults: String = faults
            .map(|(name, fault)| format!("{name} {fault}\n"))
            .collect();
        guest.put(&bench.dir, "/srv/stand-in/faults", &faults)?;
        let in_guest = |error: String| format!("{}: {error}\n{}", broken.name, guest.story());
        let output = match before {
            None => {
                guest.start()?;
                first_run(&guest)
            }
            Some(_) => next_run(&guest),
        };
        let output = output.map_err(in_guest)?;
        let step = failed(&guest, broken.step, broken.says, &output, before.as_ref());
        let step = step.map_err(in_guest)?;
        guest.output(broken.repair)?;
        before = Some(Before {
            step,
            undone: broken.undone,
        });
    }
    guest.output("rm -f /srv/stand-in/faults")?;
    let before = before.ok_or("nothing is broken")?;
    completes(&guest, &before).map_err(|error| format!("{error}\n{}", guest.story()))
}

/// The run by cloud-init, which has to notice that it failed. Returns what it printed.
fn first_run(guest: &Guest) -> Result<String> {
    let ran = guest.cloud_init(LIMIT)?;
    ensure(
        ran.code == 1 && ran.stdout.contains("status: error"),
        || format!("{ran:?}"),
    )?;
    guest.output("cat /var/log/cloud-init-output.log")
}

/// A run by hand, which fails too. Returns what it printed.
fn next_run(guest: &Guest) -> Result<String> {
    let ran = guest.ran(SCRIPT)?;
    ensure(ran.code != 0, || format!("{ran:?}"))?;
    Ok(ran.stdout + &ran.stderr)
}

/// Checks that a run that printed `output` failed in `step`, named it everywhere, and that nothing came after it.
/// Returns the step.
fn failed(
    guest: &Guest,
    step: &str,
    says: &str,
    output: &str,
    before: Option<&Before>,
) -> Result<String> {
    let report = guest.json("/var/lib/polis/provision.json")?;
    let message = report["message"].as_str().unwrap_or_default();
    let step = match report["step"].as_str() {
        Some(found) if step == ANY => found,
        _ => step,
    };
    ensure(
        report["status"] == "failed"
            && report["step"] == step
            && report["exit_code"].as_u64().is_some_and(|code| code != 0)
            && message.contains(says)
            && report["log_tail"]
                .as_array()
                .is_some_and(|lines| !lines.is_empty()),
        || format!("the report says {report}"),
    )?;
    let found = steps(guest)?;
    let is_right = |(name, state): (&&str, &String)| match position(name).cmp(&position(step)) {
        std::cmp::Ordering::Less => {
            let wanted = before.map_or(Some("done"), |before| before.state(name));
            match wanted {
                Some(wanted) => state == wanted,
                None => state == "done" || state == "skipped",
            }
        }
        std::cmp::Ordering::Equal => state == "failed",
        std::cmp::Ordering::Greater => state == "pending",
    };
    ensure(
        found.len() == STEPS.len() && STEPS.iter().zip(&found).all(is_right),
        || format!("the steps are {found:?}"),
    )?;
    nothing_is_left(guest, position(step).map_or(0, |reached| reached + 1))?;
    let lines = [
        format!("polis-provision: step {step} failed "),
        format!("polis-provision: failed in step {step}: "),
        "polis-provision: log: ".to_owned(),
        "polis-provision: time total ".to_owned(),
    ];
    for line in lines {
        ensure(output.contains(&line), || {
            format!("`{line}` is not in\n{output}")
        })?;
    }
    Ok(step.to_owned())
}

/// Checks that the steps from `later` on, and downloads, have left no trace.
fn nothing_is_left(guest: &Guest, later: usize) -> Result<()> {
    for (name, trace) in &TRACES[later..] {
        ensure(guest.ran(trace)?.code != 0, || {
            format!("{name} has left something behind")
        })?;
    }
    ensure(!guest.has("/var/lib/polis/provisioned.json")?, || {
        "there is a marker".to_owned()
    })?;
    ensure(!guest.has("/var/lib/polis/work")?, || {
        "unverified downloads are left".to_owned()
    })
}

/// Checks that another run does what the last one left undone or has undone, and only that.
fn completes(guest: &Guest, before: &Before) -> Result<()> {
    let output = guest.output(SCRIPT)?;
    let found = steps(guest)?;
    for (name, state) in STEPS.iter().zip(&found) {
        let is_right = match before.state(name) {
            Some("skipped") => state == "skipped",
            Some(_) => state != "skipped",
            None => true,
        };
        ensure(is_right, || format!("{found:?}\n{output}"))?;
    }
    is_provisioned(guest)
}

/// A run that gets a signal while it waits reports it and stops its downloads, and the next run completes.
fn signal(bench: &Bench) -> Result<()> {
    let guest = Guest::new(&bench.image.name, &bench.document, &[], &bench.dir)?;
    let fault = format!("{ASSETS}/{} stall\n", served("SYSBOX_URL_AMD64"));
    guest.put(&bench.dir, "/srv/stand-in/faults", &fault)?;
    guest.start()?;
    let in_guest = |error: String| format!("{error}\n{}", guest.story());
    let waits = "for i in $(seq 900); do grep -q 'step sysbox start' /var/log/polis-provision.log && break; sleep 0.1; \
                 done; sleep 0.5; pkill --oldest --full provision.sh";
    guest.output(waits).map_err(in_guest)?;
    let output = first_run(&guest).map_err(in_guest)?;
    let step = failed(&guest, "sysbox", "stopped by SIGTERM", &output, None).map_err(in_guest)?;
    let left = guest.ran("pgrep --list-full curl")?.stdout;
    ensure(left.is_empty(), || format!("still downloading: {left}"))?;
    for (signal, code) in [("HUP", 129), ("INT", 130)] {
        let ran = guest.ran(&format!(
            "{{ sleep 4; pkill -{signal} --oldest --full '^/bin/bash /usr/local/lib/polis'; }} & {SCRIPT}"
        ))?;
        let said = format!("stopped by SIG{signal} (exit code {code};");
        ensure(ran.code == code && ran.stdout.contains(&said), || {
            format!("{ran:?}")
        })?;
    }
    guest.output("rm /srv/stand-in/faults")?;
    let before = Before { step, undone: "" };
    completes(&guest, &before).map_err(in_guest)
}
