//! The checks of `doctor`: pure functions of facts about this machine, so that tests can produce every result.

mod check;
pub(crate) mod trouble;

pub(crate) use self::check::{Check, CheckStatus};
use self::trouble::Trouble;
use crate::blocked::{self, ANOTHER_MACHINE, unpublished};
use crate::error::{Error, Kind, cut};
use crate::guest::disk::MAKE_ROOM;
use crate::guest::probe::Guest;
use crate::multipass::size::{self, Size};
use crate::multipass::state::{NO_ANSWER, Outlook, VmState, WAITING};
use crate::multipass::version::Versions;
use crate::platform;

/// Facts about this machine.
#[derive(Debug, Default)]
pub(crate) struct HostFacts {
    /// The path of Multipass.
    pub(crate) program: Option<String>,
    /// Its versions.
    pub(crate) versions: Option<Result<Versions, Box<Error>>>,
    /// The state of the VM.
    pub(crate) machine: Option<Result<Option<VmState>, Box<Error>>>,
    /// The result of the probe; none if the VM is not running.
    pub(crate) guest: Option<Result<Guest, Box<Error>>>,
    /// Free bytes on the disk where VMs are kept.
    pub(crate) free_disk: Option<u64>,
    /// Bytes of memory of this machine.
    pub(crate) memory: Option<u64>,
    /// Whether virtualisation is available, or why not.
    pub(crate) virtualisation: Option<Result<(), String>>,
    /// This machine's architecture.
    pub(crate) architecture: String,
    /// The architectures that the images are published for, separated by blanks.
    pub(crate) offered: String,
    /// Hosts that the VM downloads from, and why they cannot be reached.
    pub(crate) hosts: Vec<(String, Result<(), String>)>,
    /// The proxies and certificate authorities that are set, or the error in them.
    pub(crate) proxies: Option<Result<String, Box<Error>>>,
    /// Known causes of trouble between Multipass and its VMs that apply here.
    pub(crate) troubles: Vec<Trouble>,
    /// The memory and the disk of a new VM.
    pub(crate) wanted: (Size, Size),
}

impl HostFacts {
    /// The probe's result, if it succeeded.
    fn answer(&self) -> Option<&Guest> {
        self.guest.as_ref()?.as_ref().ok()
    }
}

/// All checks, in the order in which a person would fix them.
pub(crate) fn checks(facts: &HostFacts) -> Vec<Check> {
    let mut checks = vec![
        installed(facts),
        version(facts),
        daemon(facts),
        authenticated(facts),
        instance(facts),
        disk(facts),
        guest_disk(facts),
        memory(facts),
        virtualisation(facts),
        architecture(facts),
        network(facts),
    ];
    checks.extend(facts.proxies.as_ref().map(proxy));
    checks.extend(facts.troubles.iter().map(|trouble| {
        Check::new("known-trouble", CheckStatus::Warn, &trouble.detail).fix(&trouble.fix)
    }));
    checks
}

fn installed(facts: &HostFacts) -> Check {
    match &facts.program {
        Some(path) if path.starts_with("/snap/") => Check::new(
            "installed",
            CheckStatus::Ok,
            format!("{path}, a snap that may not read every file, so polis uses pipes"),
        ),
        Some(path) => Check::new("installed", CheckStatus::Ok, path),
        None => Check::new("installed", CheckStatus::Fail, "Multipass is not installed")
            .fix(platform::INSTALL_MULTIPASS),
    }
}

fn version(facts: &HostFacts) -> Check {
    let name = "version";
    match &facts.versions {
        None => Check::new(name, CheckStatus::Skipped, "Multipass is not installed"),
        Some(Err(error)) => failed(name, error),
        Some(Ok(versions)) => match versions.judge() {
            Ok(None) => Check::new(name, CheckStatus::Ok, &versions.multipass),
            Ok(Some(warning)) => {
                Check::new(name, CheckStatus::Warn, warning).fix(platform::UPDATE_MULTIPASS)
            }
            Err(error) => failed(name, &error),
        },
    }
}

fn daemon(facts: &HostFacts) -> Check {
    let name = "daemon";
    match &facts.machine {
        None => Check::new(name, CheckStatus::Skipped, "Multipass is not installed"),
        Some(Err(error)) if error.kind != Kind::NotAuthenticated => failed(name, error),
        Some(_) => Check::new(name, CheckStatus::Ok, "it answers"),
    }
}

fn authenticated(facts: &HostFacts) -> Check {
    let name = "authenticated";
    match &facts.machine {
        Some(Ok(_)) => Check::new(name, CheckStatus::Ok, "this user has access"),
        Some(Err(error)) if error.kind == Kind::NotAuthenticated => failed(name, error),
        _ => Check::new(name, CheckStatus::Skipped, "the daemon does not answer"),
    }
}

fn instance(facts: &HostFacts) -> Check {
    let name = "instance";
    let Some(Ok(machine)) = &facts.machine else {
        return Check::new(name, CheckStatus::Skipped, "the daemon does not answer");
    };
    let Some(state) = machine else {
        return Check::new(name, CheckStatus::Ok, "there is no VM yet");
    };
    if let Some(Err(error)) = &facts.guest {
        return failed(name, error);
    }
    if let Some(error) = blocked::reason(state, facts.answer()) {
        let check = Check::new(name, CheckStatus::Fail, &error.message);
        return check.fix(error.next.join("; "));
    }
    match state.outlook() {
        Outlook::NoAnswer => Check::new(name, CheckStatus::Warn, NO_ANSWER).fix(WAITING),
        _ => Check::new(name, CheckStatus::Ok, format!("the VM is {}", state.word())),
    }
}

fn disk(facts: &HostFacts) -> Check {
    let (_, wanted) = &facts.wanted;
    let Some(free) = facts.free_disk else {
        return Check::new("disk", CheckStatus::Skipped, "the free space is unknown");
    };
    let exists = matches!(&facts.machine, Some(Ok(Some(_))));
    let detail = format!("{} GiB free; a VM grows up to {wanted}", free >> 30);
    // The images, the packages and working space; a VM that outgrows the disk stops answering.
    const LEAST: u64 = 10 << 30;
    if free < LEAST && !exists {
        let fix = "free some space, or start with a smaller VM: polis start --disk 20G";
        Check::new("disk", CheckStatus::Fail, detail).fix(fix)
    } else if free < LEAST / 5 {
        Check::new("disk", CheckStatus::Fail, detail)
            .fix("free some space: a VM stops answering when its host's disk is full")
    } else if free < wanted.bytes() && !exists {
        Check::new("disk", CheckStatus::Warn, detail).fix("free some space before the disk is full")
    } else {
        Check::new("disk", CheckStatus::Ok, detail)
    }
}

fn guest_disk(facts: &HostFacts) -> Check {
    let name = "vm-disk";
    match &facts.machine {
        Some(Ok(Some(VmState::Running))) => {}
        Some(Ok(_)) => return Check::new(name, CheckStatus::Skipped, "no VM is running"),
        _ => {
            return Check::new(name, CheckStatus::Skipped, "the daemon does not answer");
        }
    }
    let Some(disk) = facts.answer().and_then(|guest| guest.disk) else {
        return Check::new(name, CheckStatus::Skipped, "the VM did not answer");
    };
    match disk.warning() {
        None => {
            let detail = format!("{}% full, {} free", disk.space, size::words(disk.free));
            Check::new(name, CheckStatus::Ok, detail)
        }
        Some((detail, urgent)) => {
            let verdict = if urgent {
                CheckStatus::Fail
            } else {
                CheckStatus::Warn
            };
            Check::new(name, verdict, detail).fix(MAKE_ROOM)
        }
    }
}

fn memory(facts: &HostFacts) -> Check {
    let (wanted, _) = &facts.wanted;
    let Some(total) = facts.memory else {
        return Check::new("memory", CheckStatus::Skipped, "the memory is unknown");
    };
    let detail = format!(
        "{:.1} GiB here; a VM takes {wanted}",
        total as f64 / f64::from(1 << 30)
    );
    if total < wanted.bytes() {
        let fix =
            "use a smaller VM: polis start --memory 6G   (the scanner needs at least that much)";
        Check::new("memory", CheckStatus::Fail, detail).fix(fix)
    } else if total < wanted.bytes() * 3 / 2 {
        Check::new("memory", CheckStatus::Warn, detail)
            .fix("close other programs that use a lot of memory")
    } else {
        Check::new("memory", CheckStatus::Ok, detail)
    }
}

fn virtualisation(facts: &HostFacts) -> Check {
    let name = "virtualisation";
    match &facts.virtualisation {
        None => Check::new(name, CheckStatus::Skipped, "not checked on this system"),
        Some(Ok(())) => Check::new(name, CheckStatus::Ok, "virtualisation is available"),
        Some(Err(reason)) => Check::new(name, CheckStatus::Fail, reason)
            .fix("enable virtualisation in the firmware (VT-x, AMD-V), or nested virtualisation in the outer hypervisor"),
    }
}

fn architecture(facts: &HostFacts) -> Check {
    let HostFacts {
        architecture,
        offered,
        ..
    } = facts;
    match unpublished(architecture, offered) {
        None => Check::new("architecture", CheckStatus::Ok, architecture),
        Some(reason) => Check::new("architecture", CheckStatus::Fail, reason).fix(ANOTHER_MACHINE),
    }
}

fn network(facts: &HostFacts) -> Check {
    let bad: Vec<String> = facts
        .hosts
        .iter()
        .filter_map(|(host, result)| Some(format!("{host}: {}", result.as_ref().err()?)))
        .collect();
    if bad.is_empty() {
        let hosts: Vec<&str> = facts.hosts.iter().map(|(host, _)| host.as_str()).collect();
        return Check::new("network", CheckStatus::Ok, hosts.join(", "));
    }
    let fix = match facts.proxies {
        None => {
            "allow direct connections to these hosts, from which the VM downloads, or set https-proxy and ca-file"
        }
        Some(_) => {
            "make the proxy allow these hosts, or correct http-proxy, https-proxy, no-proxy and ca-file"
        }
    };
    Check::new("network", CheckStatus::Fail, bad.join("; ")).fix(fix)
}

/// The proxies. It also warns that the workspace does not use them, which no other message would explain.
fn proxy(proxies: &Result<String, Box<Error>>) -> Check {
    match proxies {
        Err(error) => failed("proxy", error),
        Ok(shown) if !shown.contains(" by ") => Check::new("proxy", CheckStatus::Ok, shown),
        Ok(shown) => {
            let detail = format!(
                "{shown}; only for the VM's own downloads, not for traffic of the workspace"
            );
            Check::new("proxy", CheckStatus::Warn, detail)
                .fix("allow the VM to reach the internet on ports 80 and 443; otherwise, the workspace has no network")
        }
    }
}

fn failed(name: &'static str, error: &Error) -> Check {
    let detail = [std::slice::from_ref(&error.message), &error.causes].concat();
    let mut check = Check::new(name, CheckStatus::Fail, detail.join(": "));
    check.fix = error.next.first().map(|next| cut(next));
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(space: u8, inodes: u8) -> Option<Result<Guest, Box<Error>>> {
        let answer = format!("polis-probe 1\ndisk {space} {inodes} 1\nend\n");
        Some(Guest::parse(&answer))
    }

    fn healthy() -> HostFacts {
        HostFacts {
            program: Some("/snap/bin/multipass".into()),
            versions: Some(Ok(Versions {
                multipass: "1.16.3".into(),
                multipassd: Some("1.16.3".into()),
            })),
            machine: Some(Ok(Some(VmState::Running))),
            guest: guest(40, 5),
            free_disk: Some(100 << 30),
            memory: Some(32 << 30),
            virtualisation: Some(Ok(())),
            architecture: "amd64".into(),
            offered: "amd64".into(),
            hosts: vec![("ghcr.io:443".into(), Ok(()))],
            proxies: None,
            troubles: Vec::new(),
            wanted: (Size::memory("8G").unwrap(), Size::disk("40G").unwrap()),
        }
    }

    fn verdict(facts: &HostFacts, name: &str) -> CheckStatus {
        let checks = checks(facts);
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(
            matches!(check.verdict, CheckStatus::Warn | CheckStatus::Fail),
            check.fix.is_some(),
            "{check:?}"
        );
        check.verdict
    }

    #[test]
    fn every_check_can_fail_and_then_proposes_a_fix() {
        let all = checks(&healthy());
        assert!(
            all.iter().all(|check| check.verdict == CheckStatus::Ok),
            "{all:?}"
        );
        type Break = fn(&mut HostFacts);
        let broken: [(&str, Break); 15] = [
            ("proxy", |facts| {
                let error = Error::new(Kind::Usage, "ca-file is not valid").next("x");
                facts.proxies = Some(Err(error));
            }),
            ("instance", |facts| facts.guest = Some(Guest::parse("?"))),
            ("vm-disk", |facts| facts.guest = guest(95, 5)),
            ("vm-disk", |facts| facts.guest = guest(40, 99)),
            ("installed", |facts| facts.program = None),
            ("version", |facts| {
                facts.versions = Some(Ok(Versions {
                    multipass: "1.15.0".into(),
                    multipassd: None,
                }));
            }),
            ("daemon", |facts| {
                let error = Error::new(Kind::DaemonDown, "down").next("x");
                facts.machine = Some(Err(error));
            }),
            ("authenticated", |facts| {
                let error = Error::new(Kind::NotAuthenticated, "no").next("x");
                facts.machine = Some(Err(error));
            }),
            ("instance", |facts| {
                facts.machine = Some(Ok(Some(VmState::Deleted)))
            }),
            ("instance", |facts| {
                facts.machine = Some(Ok(Some(VmState::DelayedShutdown)))
            }),
            ("disk", |facts| facts.free_disk = Some(1 << 30)),
            ("memory", |facts| facts.memory = Some(4 << 30)),
            ("virtualisation", |facts| {
                facts.virtualisation = Some(Err("no".into()))
            }),
            ("architecture", |facts| facts.architecture = "arm64".into()),
            ("network", |facts| facts.hosts[0].1 = Err("refused".into())),
        ];
        for (name, break_it) in broken {
            let mut facts = healthy();
            break_it(&mut facts);
            assert_eq!(verdict(&facts, name), CheckStatus::Fail, "{name}");
        }
    }

    #[test]
    fn borderline_results_are_warnings() {
        let mut facts = healthy();
        facts.machine = Some(Ok(None));
        facts.free_disk = Some(20 << 30);
        facts.memory = Some(10 << 30);
        facts.versions = Some(Ok(Versions {
            multipass: "1.16.1".into(),
            multipassd: None,
        }));
        facts.proxies = Some(Ok("https by http://proxy:3128".into()));
        for name in ["disk", "memory", "version", "proxy"] {
            assert_eq!(verdict(&facts, name), CheckStatus::Warn, "{name}");
        }
    }

    #[test]
    fn unknown_facts_are_skipped() {
        let facts = HostFacts {
            offered: "amd64".into(),
            architecture: "amd64".into(),
            ..HostFacts::default()
        };
        for name in [
            "version",
            "daemon",
            "authenticated",
            "instance",
            "disk",
            "memory",
            "virtualisation",
        ] {
            assert_eq!(verdict(&facts, name), CheckStatus::Skipped, "{name}");
        }
    }
}
