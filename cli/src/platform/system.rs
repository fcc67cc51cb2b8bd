//! The differences between the systems as data, so that each can be tested on any other.

use std::path::{Path, PathBuf};

/// A system that the CLI is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Linux,
    MacOs,
    Windows,
}

impl System {
    pub(super) const fn pipes_work(self) -> bool {
        !matches!(self, Self::Windows)
    }

    pub(super) const fn install(self) -> &'static str {
        match self {
            Self::Linux => "sudo snap install multipass",
            Self::MacOs => "brew install --cask multipass",
            Self::Windows => "winget install Canonical.Multipass",
        }
    }

    pub(super) const fn update(self) -> &'static str {
        match self {
            Self::Linux => "sudo snap refresh multipass",
            Self::MacOs => "brew upgrade --cask multipass",
            Self::Windows => "winget upgrade Canonical.Multipass",
        }
    }

    pub(super) const fn start_daemon(self) -> &'static str {
        match self {
            Self::Linux => "sudo snap restart multipass",
            Self::MacOs => "sudo launchctl kickstart -k system/com.canonical.multipassd",
            Self::Windows => "Restart-Service Multipass   (in PowerShell, as administrator)",
        }
    }

    pub(super) const fn open_socket(self) -> &'static str {
        match self {
            Self::Linux => {
                "add this user to the group that owns /var/snap/multipass/common/multipass_socket \
                 (sudo usermod -aG sudo $USER), then log in again"
            }
            Self::MacOs => {
                "run this as a member of the group that owns /var/run/multipass_socket (admin)"
            }
            Self::Windows => "multipass authenticate",
        }
    }

    pub(super) const fn unreachable_vm(self) -> &'static str {
        match self {
            Self::Linux => {
                "if it persists: a VPN, another program on port 53 of the bridge, or Docker's FORWARD policy DROP on \
                 this host may be in the way; `sudo iptables -I DOCKER-USER -j ACCEPT -i mpqemubr0` fixes the last"
            }
            Self::MacOs => {
                "if it persists: a VPN, or the firewall in front of /usr/libexec/bootpd, may be in the way; allow \
                 bootpd in System Settings > Network > Firewall"
            }
            Self::Windows => {
                "if it persists: restart the service vmms, and look at a stale entry for the VM in \
                 C:\\Windows\\System32\\drivers\\etc\\hosts.ics"
            }
        }
    }

    /// The file name of a program.
    pub(super) fn program(self, name: &str) -> String {
        match self {
            Self::Windows => format!("{name}.exe"),
            Self::Linux | Self::MacOs => name.to_owned(),
        }
    }

    /// Where the installer puts `multipass`; a shell that was opened before the installation has the old PATH.
    pub(super) fn installed_at(self) -> &'static [&'static str] {
        match self {
            Self::Linux => &["/snap/bin/multipass"],
            Self::MacOs => &["/usr/local/bin/multipass", "/opt/homebrew/bin/multipass"],
            Self::Windows => &[r"C:\Program Files\Multipass\bin\multipass.exe"],
        }
    }

    /// Where Multipass keeps its VMs.
    pub(crate) const fn vms(self) -> &'static str {
        match self {
            Self::Linux => "/var/snap/multipass",
            Self::MacOs => "/var/root/Library/Application Support/multipassd",
            Self::Windows => r"C:\ProgramData\Multipass",
        }
    }

    /// How to check whether virtualisation is available.
    pub(crate) const fn virtualisation(self) -> Probe {
        match self {
            Self::Linux => Probe::File("/dev/kvm", "there is no /dev/kvm"),
            Self::MacOs => Probe::Command {
                program: "/usr/sbin/sysctl",
                args: &["-n", "kern.hv_support"],
                expected: "1",
                missing: "this Mac has no hypervisor support",
            },
            Self::Windows => Probe::Command {
                program: r"C:\Windows\System32\sc.exe",
                args: &["query", "vmms"],
                expected: "RUNNING",
                missing: "Hyper-V's service vmms is not running",
            },
        }
    }

    /// The state directory. It is not hidden on Windows, where Multipass's service reads files from it.
    pub(super) fn state_dir(self, home: &Path, xdg_state: Option<PathBuf>) -> PathBuf {
        match self {
            Self::Linux => xdg_state
                .unwrap_or_else(|| home.join(".local/state"))
                .join("polis"),
            Self::MacOs => home.join("Library/Application Support/polis"),
            Self::Windows => home.join("Polis"),
        }
    }
}

/// A check of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// The file exists; otherwise the message.
    File(&'static str, &'static str),
    /// The program succeeds and prints `expected`; otherwise the message `missing`.
    Command {
        program: &'static str,
        args: &'static [&'static str],
        expected: &'static str,
        missing: &'static str,
    },
}
