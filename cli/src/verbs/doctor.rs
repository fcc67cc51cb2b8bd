//! `polis doctor`: gathers the facts without changing anything, and shows the checks.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use sysinfo::{Disks, MemoryRefreshKind, RefreshKind, System};

use super::fix;
use crate::args::DoctorArgs;
use crate::context::Context;
use crate::doctor::trouble::{self, Trouble};
use crate::doctor::{self, Check, CheckStatus, HostFacts};
use crate::error::{Kind, Result};
use crate::guest;
use crate::guest::probe::Guest;
use crate::multipass::Multipass;
use crate::multipass::state::{Outlook, VmState};
use crate::output::Done;
use crate::platform::{self, HERE, Probe};
use crate::proxy::{Proxies, curl};
use crate::reports::doctor::Diagnosis;
use crate::{embedded, process};

/// The hosts from which the VM downloads.
const HOSTS: &str = "download.docker.com:443 github.com:443 ghcr.io:443";
/// The variable with other hosts: mirrors of those.
const HOSTS_VARIABLE: &str = "POLIS_DOWNLOAD_HOSTS";
/// How long a host may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `polis doctor`.
///
/// # Errors
/// With `--fix`, when something cannot be repaired.
pub(crate) fn run(context: &Context, args: &DoctorArgs) -> Result<Done> {
    let fixed = match args.fix {
        true => Some(fix::run(context, args)?),
        false => None,
    };
    let (repairs, fixes) = fixed.unzip();
    let checks = doctor::checks(&facts(context));
    let failed = checks
        .iter()
        .any(|check| check.verdict == CheckStatus::Fail);
    let mut text = checks.iter().map(line).collect::<String>();
    text.extend(repairs);
    let report = Diagnosis {
        healthy: !failed,
        checks,
        fixes,
    };
    let mut done = Done::new(text, report);
    done.code = u8::from(failed);
    Ok(done)
}

fn line(check: &Check) -> String {
    let word = match check.verdict {
        CheckStatus::Ok => "ok",
        CheckStatus::Warn => "warn",
        CheckStatus::Fail => "FAIL",
        CheckStatus::Skipped => "-",
    };
    let mut text = format!("{word:<5} {:<15} {}\n", check.name, check.detail);
    if let Some(fix) = &check.fix {
        text.push_str(&format!("      {:<15} fix: {fix}\n", ""));
    }
    text
}

fn facts(context: &Context) -> HostFacts {
    let settings = &context.settings;
    let proxies = Proxies::read(settings);
    let multipass = context.multipass().ok();
    let multipass = multipass.as_ref();
    let machine = multipass.map(|found| found.state());
    let runs = matches!(machine, Some(Ok(Some(VmState::Running))));
    let outlook = match &machine {
        Some(Ok(Some(state))) => Some(state.outlook()),
        _ => None,
    };
    let silent = matches!(outlook, Some(Outlook::NoAnswer | Outlook::Coming));
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    HostFacts {
        program: multipass.map(|found| found.program().display().to_string()),
        versions: multipass.map(|found| found.version().map(|(versions, _)| versions)),
        machine,
        guest: multipass.filter(|_| runs).map(guest),
        free_disk: free_disk(),
        memory: Some(System::new_with_specifics(memory).total_memory()).filter(|bytes| *bytes > 0),
        virtualisation: virtualisation(),
        architecture: platform::architecture().to_owned(),
        offered: embedded::ARCHITECTURES.to_owned(),
        hosts: hosts(proxies.as_ref().unwrap_or(&Proxies::default())),
        proxies: proxies.map(|proxies| proxies.shown()).transpose(),
        troubles: troubles(silent),
        wanted: (settings.memory.value.clone(), settings.disk.value.clone()),
    }
}

/// Probes a running VM.
fn guest(multipass: &Multipass) -> Result<Guest> {
    Guest::parse(&multipass.call(&guest::probe(), Kind::Unexpected)?)
}

/// The free space where VMs are kept, on the disk with the longest matching mount point.
fn free_disk() -> Option<u64> {
    let vms = Path::new(HERE.vms());
    let disks = Disks::new_with_refreshed_list();
    let above = disks
        .iter()
        .filter(|disk| vms.starts_with(disk.mount_point()));
    let nearest = above.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some(nearest.available_space())
}

fn virtualisation() -> Option<std::result::Result<(), String>> {
    match HERE.virtualisation() {
        Probe::File(path, missing) => Some(if Path::new(path).exists() {
            Ok(())
        } else {
            Err(missing.to_owned())
        }),
        Probe::Command {
            program,
            args,
            expected,
            missing,
        } => {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let output = process::run(Path::new(program), &args, TIMEOUT).ok()?;
            let is_present = output.code == Some(0) && output.stdout.contains(expected);
            Some(if is_present {
                Ok(())
            } else {
                Err(missing.to_owned())
            })
        }
    }
}

/// Whether each host can be reached, tried concurrently.
fn hosts(proxies: &Proxies) -> Vec<(String, std::result::Result<(), String>)> {
    let hosts = std::env::var(HOSTS_VARIABLE).unwrap_or_else(|_| HOSTS.to_owned());
    let hosts: Vec<String> = hosts.split_whitespace().map(str::to_owned).collect();
    std::thread::scope(|scope| {
        let asked: Vec<_> = hosts
            .iter()
            .map(|host| {
                scope.spawn(|| match proxies.are_set() {
                    true => curl::reach(proxies, host, TIMEOUT),
                    false => reach(host),
                })
            })
            .collect();
        let answers = asked.into_iter().map(|thread| {
            let gone = |_| Err("not checked".to_owned());
            thread.join().unwrap_or_else(gone)
        });
        hosts.iter().cloned().zip(answers).collect()
    })
}

fn reach(host: &str) -> std::result::Result<(), String> {
    let addresses = host.to_socket_addrs().map_err(|error| error.to_string())?;
    let mut reason = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// Known causes of trouble between Multipass and its VMs that apply here. Missing files and programs belong to other
/// systems. `silent`: the VM does not answer.
fn troubles(silent: bool) -> Vec<Trouble> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let interfaces = fs::read_dir("/sys/class/net");
    let interfaces: Vec<String> = interfaces
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let names = || interfaces.iter().map(String::as_str);
    let firewall = Path::new("/usr/libexec/ApplicationFirewall/socketfilterfw");
    let firewall = if firewall.exists() {
        let args = ["--getglobalstate".to_owned()];
        process::run(firewall, &args, TIMEOUT).map(|output| output.stdout)
    } else {
        Ok(String::new())
    };
    [
        trouble::dns_on_every_address(&read("/proc/net/udp")),
        trouble::vpn(names()),
        silent.then(|| trouble::docker_forwards(names())).flatten(),
        trouble::stale_address(&read(r"C:\Windows\System32\drivers\etc\hosts.ics")),
        trouble::firewall(&firewall.unwrap_or_default()),
    ]
    .into_iter()
    .flatten()
    .collect()
}
