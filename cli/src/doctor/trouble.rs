//! Known causes of broken networking of Multipass, recognised from the system's own files and tools.

use crate::instance::vm;

/// A known cause of broken networking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) detail: String,
    pub(crate) fix: String,
}

/// Whether a program listens for DNS on every address, so that Multipass's name server cannot on its bridge. `text` is
/// `/proc/net/udp`.
pub(crate) fn dns_on_every_address(text: &str) -> Option<Trouble> {
    let taken = text.lines().any(|line| line.contains(" 00000000:0035 "));
    taken.then(|| Trouble {
        detail: "a program listens on port 53 of every address, so Multipass's name server cannot"
            .to_owned(),
        fix: "bind it to 127.0.0.1 (dnsmasq: bind-interfaces), then: sudo snap restart multipass"
            .to_owned(),
    })
}

/// Whether an interface belongs to a VPN. `names` are those of `/sys/class/net`.
pub(crate) fn vpn<'a>(names: impl Iterator<Item = &'a str>) -> Option<Trouble> {
    let mut found = names.filter(|name| {
        ["tun", "wg", "ppp"]
            .iter()
            .any(|kind| name.starts_with(kind))
    });
    found.next().map(|name| Trouble {
        detail: format!("a VPN is up (`{name}`), which may capture the VM's traffic too"),
        fix: "if the VM does not answer: disconnect the VPN, or exclude local networks from it"
            .to_owned(),
    })
}

/// Whether Docker on this host may cut the VM off, since it drops packets that it does not forward.
pub(crate) fn docker_forwards<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<Trouble> {
    names.any(|name| name == "docker0").then(|| Trouble {
        detail: "Docker on this host drops packets that it does not forward, and the VM does not answer".to_owned(),
        fix: "sudo iptables -I DOCKER-USER -i mpqemubr0 -j ACCEPT && sudo iptables -I DOCKER-USER -o mpqemubr0 -j ACCEPT".to_owned(),
    })
}

/// Whether Windows has more than one address for the VM. `text` is `hosts.ics`.
pub(crate) fn stale_address(text: &str) -> Option<Trouble> {
    let host = format!("{}.mshome.net", vm());
    let lines = text
        .lines()
        .filter(|line| line.split_whitespace().nth(1) == Some(&host));
    (lines.count() > 1).then(|| Trouble {
        detail: format!("hosts.ics has several addresses for {host}"),
        fix: "as administrator, remove the old ones from C:\\Windows\\System32\\drivers\\etc\\hosts.ics".to_owned(),
    })
}

/// Whether the firewall of macOS is on, which may block the DHCP server of VMs. `text` is the output of
/// `socketfilterfw --getglobalstate`.
pub(crate) fn firewall(text: &str) -> Option<Trouble> {
    text.contains("enabled").then(|| Trouble {
        detail: "the firewall is on; VMs get no address unless it allows bootpd".to_owned(),
        fix: "sudo /usr/libexec/ApplicationFirewall/socketfilterfw --add /usr/libexec/bootpd --unblockapp /usr/libexec/bootpd".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_troubles_are_recognised() {
        let line = "  1: 00000000:0035 00000000:0000 07 00000000:00000000";
        assert!(dns_on_every_address(line).is_some());
        assert!(dns_on_every_address("  1: 3500007F:0035 00000000:0000 07").is_none());
        assert!(vpn(["lo", "eth0", "wg0"].into_iter()).is_some());
        assert!(vpn(["lo", "eth0"].into_iter()).is_none());
        assert!(docker_forwards(["lo", "docker0"].into_iter()).is_some());
        assert!(docker_forwards(["lo", "docker1"].into_iter()).is_none());
        assert!(stale_address("1.2.3.4 polis.mshome.net\n1.2.3.5 polis.mshome.net # x").is_some());
        assert!(stale_address("1.2.3.4 polis.mshome.net").is_none());
        assert!(firewall("Firewall is enabled. (State = 1)").is_some());
        assert!(firewall("Firewall is disabled. (State = 0)").is_none());
    }
}
