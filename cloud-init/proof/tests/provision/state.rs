//! The end state of a provisioned guest, read from the guest itself.

use std::fmt::Debug;
use std::sync::LazyLock;

use cloud_init_proof::Result;
use cloud_init_proof::document;
use cloud_init_proof::guest::Guest;
use cloud_init_proof::packages::{DOCKER_VERSION, INTRUDER};
use serde_json::{Value, json};

use crate::{ensure, pin};

/// The steps, in the script's order.
pub(crate) static STEPS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let text = include_str!("../../../cloud-init.yaml");
    document::list(text, "STEPS").expect("a list of steps")
});

/// The files that the document writes.
const WRITTEN: [(&str, &str); 6] = [
    ("/etc/polis/pins.env", "644"),
    ("/etc/docker/daemon.json", "644"),
    ("/etc/sysctl.d/99-polis-hardening.conf", "644"),
    ("/etc/audit/rules.d/docker.rules", "644"),
    ("/etc/systemd/system/polis.service", "644"),
    ("/usr/local/lib/polis/provision.sh", "755"),
];

/// The files that the script creates, with owner, group and mode.
const MADE: [(&str, &str); 8] = [
    ("/etc/apt/keyrings/docker.gpg", "root:root 644"),
    ("/etc/apt/preferences.d/docker", "root:root 644"),
    ("/etc/audit/rules.d/zz-immutable.rules", "root:root 640"),
    ("/etc/apt/sources.list.d/docker.list", "root:root 644"),
    ("/usr/local/bin/yq", "root:root 755"),
    ("/opt/polis", "ubuntu:ubuntu 755"),
    ("/var/lib/polis/provision.json", "root:root 644"),
    ("/var/lib/polis/provisioned.json", "root:root 644"),
];

/// The hardening's sysctls that have other default values, with ours.
pub(crate) const SYSCTLS: [(&str, &str); 13] = [
    ("kernel.randomize_va_space", "2"),
    ("kernel.dmesg_restrict", "1"),
    ("kernel.kptr_restrict", "2"),
    ("fs.suid_dumpable", "0"),
    ("kernel.yama.ptrace_scope", "2"),
    ("kernel.kexec_load_disabled", "1"),
    ("kernel.io_uring_disabled", "2"),
    ("kernel.unprivileged_bpf_disabled", "1"),
    ("net.core.bpf_jit_harden", "2"),
    ("fs.protected_fifos", "2"),
    ("fs.protected_regular", "2"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
];

const SERVICES: [&str; 8] = [
    "docker.service",
    "docker.socket",
    "containerd.service",
    "sysbox.service",
    "sysbox-mgr.service",
    "sysbox-fs.service",
    "auditd.service",
    "apparmor.service",
];

/// A shell test that shows whether a step has left something behind.
pub(crate) const TRACES: [(&str, &str); 7] = [
    (
        "docker-repo",
        "test -e /etc/apt/keyrings/docker.gpg -o -e /etc/apt/sources.list.d/docker.list",
    ),
    (
        "docker-engine",
        "dpkg-query --status docker-ce || id --name --groups ubuntu | grep -w docker",
    ),
    ("sysbox", "dpkg-query --status sysbox-ce"),
    ("yq", "test -e /usr/local/bin/yq"),
    (
        "polis-unit",
        "test -d /opt/polis || systemctl is-enabled polis.service",
    ),
    (
        "hardening",
        "test $(sysctl --values kernel.dmesg_restrict) = 1",
    ),
    ("ready", "test -e /var/lib/polis/provisioned.json"),
];

fn same<T: PartialEq + Debug>(what: &str, found: &T, wanted: &T) -> Result<()> {
    ensure(found == wanted, || {
        format!("{what}: {found:?} instead of {wanted:?}")
    })
}

/// Checks the whole state of a provisioned guest.
pub(crate) fn is_provisioned(guest: &Guest) -> Result<()> {
    packages(guest)?;
    files(guest)?;
    services(guest)?;
    docker(guest)?;
    hardening(guest)?;
    marker(guest)?;
    report(guest)
}

/// Docker's repository must not provide packages of the distribution.
fn intruder(guest: &Guest) -> Result<()> {
    let (name, version) = INTRUDER;
    let policy = guest.output(&format!("apt-cache policy {name}"))?;
    let candidate = policy.lines().find(|line| line.contains("Candidate:"));
    ensure(
        policy.contains(&format!(" {version} -1"))
            && candidate.is_some_and(|line| !line.contains(version)),
        || format!("Docker's repository may bring {name}: {policy}"),
    )
}

fn packages(guest: &Guest) -> Result<()> {
    intruder(guest)?;
    let names = "auditd ca-certificates curl fuse3 gnupg iptables jq lsb-release netcat-openbsd openssl rsync \
                 docker-ce docker-ce-cli containerd.io docker-compose-plugin sysbox-ce";
    let found = guest.output(&format!(
        "dpkg-query --show --showformat='${{Package}} ${{Version}} ${{db:Status-Status}}\\n' {names}"
    ))?;
    same(
        "packages",
        &found.lines().count(),
        &names.split_whitespace().count(),
    )?;
    for line in found.lines() {
        let mut words = line.split(' ');
        let (name, version) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        same(name, &words.next(), &Some("installed"))?;
        if name == "sysbox-ce" {
            let pinned = format!("{}.linux", pin("SYSBOX_VERSION"));
            same(name, &version, &pinned.as_str())?;
        } else if name.starts_with("docker-") || name == "containerd.io" {
            same(name, &version, &DOCKER_VERSION)?;
        }
    }
    same(
        "dpkg --audit",
        &guest.output("dpkg --audit")?,
        &String::new(),
    )?;
    same("yq", &guest.output("yq")?, &"yq stand-in".to_owned())
}

/// Makes all checks in the guest at once: each is a shell command with its expected output.
fn answers(guest: &Guest, wanted: &[(String, String)]) -> Result<()> {
    let scripts: Vec<&String> = wanted.iter().map(|(script, _)| script).collect();
    for ((script, wanted), found) in wanted.iter().zip(guest.outputs(&scripts)?) {
        same(script, &found, wanted)?;
    }
    Ok(())
}

fn files(guest: &Guest) -> Result<()> {
    let written = WRITTEN.map(|(path, mode)| (path, format!("root:root {mode}")));
    let made = MADE.map(|(path, wanted)| (path, wanted.to_owned()));
    let mut wanted: Vec<(String, String)> = written
        .into_iter()
        .chain(made)
        .map(|(path, wanted)| (format!("stat --format='%U:%G %a' {path}"), wanted))
        .collect();
    let source = "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.gpg] \
                  https://download.docker.com/linux/ubuntu trixie stable";
    for (script, answer) in [
        ("cat /etc/apt/sources.list.d/docker.list", source),
        (
            "ls -A /var/lib/polis",
            "lock\nprovision.json\nprovisioned.json",
        ),
    ] {
        wanted.push((script.to_owned(), answer.to_owned()));
    }
    answers(guest, &wanted)
}

fn services(guest: &Guest) -> Result<()> {
    let mut wanted = vec![
        // cloud-init remembers a failed run until the next boot, whatever has been repaired since.
        (
            "systemctl --failed --quiet --no-legend | grep -v ' cloud-'".to_owned(),
            String::new(),
        ),
        // Only the CLI starts the stack for the first time.
        (
            "systemctl is-active polis.service".to_owned(),
            "inactive".to_owned(),
        ),
    ];
    // If Docker had started before Sysbox, it would have kept the package's leftovers.
    let since =
        |unit| format!("$(systemctl show --property=ActiveEnterTimestampMonotonic --value {unit})");
    let ordered = format!(
        "test {} -le {} && echo ordered",
        since("sysbox"),
        since("docker")
    );
    wanted.push((ordered, "ordered".to_owned()));
    for service in SERVICES {
        wanted.push((
            format!("systemctl is-active {service}"),
            "active".to_owned(),
        ));
    }
    for service in ["docker", "sysbox", "auditd", "apparmor", "polis"] {
        wanted.push((
            format!("systemctl is-enabled {service}.service"),
            "enabled".to_owned(),
        ));
    }
    answers(guest, &wanted)
}

fn docker(guest: &Guest) -> Result<()> {
    let info = guest.output("docker info --format '{{json .}}'")?;
    let info: Value = serde_json::from_str(&info).map_err(|error| format!("{error}: {info}"))?;
    same(
        "runtime",
        &info["Runtimes"]["sysbox-runc"]["path"],
        &json!("/usr/bin/sysbox-runc"),
    )?;
    same("default runtime", &info["DefaultRuntime"], &json!("runc"))?;
    same("live restore", &info["LiveRestoreEnabled"], &json!(false))?;
    let options = info["SecurityOptions"].to_string();
    ensure(options.contains("no-new-privileges"), || {
        format!("security options: {options}")
    })?;
    same("containers", &info["Containers"], &json!(0))?;
    same("images", &info["Images"], &json!(0))?;
    let bridge = guest.output("ip -oneline -4 address show docker0")?;
    ensure(bridge.contains("172.20.0.1/16"), || {
        format!("docker0: {bridge}")
    })?;
    let process = guest.ran("pgrep docker-proxy")?;
    same("docker-proxy", &process.stdout, &String::new())?;
    guest.output("docker network create probe >/dev/null")?;
    let pool = guest.output(
        "docker network inspect probe --format '{{json .IPAM.Config}} {{json .Options}}'; docker network rm probe",
    )?;
    ensure(
        pool.contains("172.25.") && pool.contains(r#"host_binding_ipv4":"127.0.0.1""#),
        || format!("address pool and options: {pool}"),
    )?;
    // The package's leftovers; Docker itself removes those of removed containers, a minute later.
    let stale = guest.has("/run/docker/netns/stale")?;
    same("a stale network namespace", &stale, &false)?;
    guest.output("docker compose version")?;
    // As the user of Multipass's logins.
    guest
        .output("runuser --user ubuntu -- docker version")
        .map(drop)
}

fn hardening(guest: &Guest) -> Result<()> {
    let asked = |(name, value): (&str, &str)| (format!("sysctl --values {name}"), value.to_owned());
    answers(guest, &SYSCTLS.map(asked))?;
    let wanted = guest.output("grep ^-w /etc/audit/rules.d/docker.rules")?;
    let of_file = "sed -n 's/^\\([a-z.]*\\.[^ ]*\\) = \\(.*\\)/\\1=\\2/p' /etc/sysctl.d/99-polis-hardening.conf";
    let apart = format!(
        "for each in $({of_file}); do test \"$(sysctl --values ${{each%=*}})\" = ${{each#*=}} || echo $each; done"
    );
    same(
        "sysctls that differ",
        &guest.output(&apart)?,
        &String::new(),
    )?;
    same("audit rules", &guest.output("auditctl -l")?, &wanted)?;
    let root = guest.output("passwd --status root")?;
    ensure(root.starts_with("root L "), || {
        format!("root is not locked: {root}")
    })
}

fn marker(guest: &Guest) -> Result<()> {
    let marker = guest.json("/var/lib/polis/provisioned.json")?;
    let sum = guest.output("sha256sum </var/lib/cloud/instance/user-data.txt | cut -d ' ' -f 1")?;
    same(
        "user-data in the marker",
        &marker["user_data_sha256"],
        &json!(sum),
    )?;
    let files = marker["files"].as_object().map_or(0, serde_json::Map::len);
    same("files in the marker", &files, &WRITTEN.len())?;
    let sums = WRITTEN.map(|(path, _)| format!("sha256sum <{path} | cut -d ' ' -f 1"));
    for ((path, _), sum) in WRITTEN.into_iter().zip(guest.outputs(&sums)?) {
        same(path, &marker["files"][path], &json!(sum))?;
    }
    same("architecture", &marker["architecture"], &json!("amd64"))?;
    same(
        "Sysbox in the marker",
        &marker["sysbox_version"],
        &json!(pin("SYSBOX_VERSION")),
    )?;
    same(
        "yq in the marker",
        &marker["yq_version"],
        &json!(pin("YQ_VERSION")),
    )?;
    let docker = guest.output("docker version --format '{{.Server.Version}}'")?;
    same(
        "Docker in the marker",
        &marker["docker_version"],
        &json!(docker),
    )?;
    let names = "jq docker-ce containerd.io sysbox-ce";
    let versions = guest.output(&format!(
        "dpkg-query --show --showformat='${{Package}} ${{Version}}\\n' {names}"
    ))?;
    for (name, version) in versions.lines().filter_map(|line| line.split_once(' ')) {
        same(name, &marker["packages"][name], &json!(version))?;
    }
    let now = guest.output("date --utc +%Y-%m-%dT%H")?;
    let finished = marker["finished"].as_str().unwrap_or_default();
    ensure(
        finished.get(..11) == now.get(..11) && finished.len() == 20,
        || format!("finished: {finished}"),
    )
}

/// The report of a successful run has every step with its time.
fn report(guest: &Guest) -> Result<()> {
    let report = guest.json("/var/lib/polis/provision.json")?;
    same("status", &report["status"], &json!("done"))?;
    same("exit code", &report["exit_code"], &json!(0))?;
    same("message", &report["message"], &json!(""))?;
    let steps = report["steps"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = steps
        .iter()
        .filter_map(|step| step["name"].as_str())
        .collect();
    same("steps", &names, &*STEPS)?;
    let mut sum = 0;
    for step in &steps {
        let ended = step["state"] == "done" || step["state"] == "skipped";
        ensure(ended && step["seconds"].is_u64(), || format!("{step}"))?;
        sum += step["seconds"].as_u64().unwrap_or_default();
    }
    let total = report["seconds"].as_u64().unwrap_or_default();
    ensure(sum <= total + STEPS.len() as u64, || {
        format!("{sum} s in steps, {total} s in all")
    })
}

/// The states of all steps in the report, in order.
pub(crate) fn steps(guest: &Guest) -> Result<Vec<String>> {
    let report = guest.json("/var/lib/polis/provision.json")?;
    let steps = report["steps"].as_array().cloned().unwrap_or_default();
    Ok(steps
        .iter()
        .map(|step| step["state"].as_str().unwrap_or_default().to_owned())
        .collect())
}
