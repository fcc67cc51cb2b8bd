//! Decides, without touching the kernel, what a bridge may not reach: the rules of the tables that
//! belong to `polis-init` alone.
//!
//! Docker's chains know IPv4 and what is forwarded; they neither keep a container from the ports of
//! the machine itself nor, where a network has no IPv6, from its link-local address. A drop is final
//! in whatever table it stands, so these rules need no place in Docker's chains, and neither a
//! restart of Docker nor its choice of firewall backend touches them. An `accept` ends only the
//! chain that it stands in: it never overrules Docker or another firewall.

use std::net::Ipv4Addr;

use crate::bridge::BridgeName;

/// `NFPROTO_INET` in linux/netfilter.h: chains that see IPv4 and IPv6.
pub(crate) const FAMILY_INET: u8 = 1;

/// `NFPROTO_ARP` in linux/netfilter.h.
pub(crate) const FAMILY_ARP: u8 = 3;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`, what a chain of the `inet` family tells packets apart by.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;

/// Where nothing public is, as address and prefix length: IANA's registry of special-purpose IPv4
/// addresses, less the ranges that are only for documentation, and multicast.
const NOT_PUBLIC: [(Ipv4Addr, u8); 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    // Public by number, but the host of a virtual machine in Azure answers there with its metadata.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// One thing that a rule asks of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// It came in by this interface.
    In(BridgeName),
    /// It leaves by this interface.
    Out(BridgeName),
    /// It leaves by any other interface.
    NotOut(BridgeName),
    /// It is IPv4 or IPv6 (`NFPROTO_*`).
    Family(u8),
    /// Its IPv4 destination lies in this network. Only after [`Match::Family`] of IPv4.
    To(Ipv4Addr, u8),
    /// It is of this protocol (`IPPROTO_*`), which has ports, and goes to this port.
    Port(u8, u16),
    /// It answers a connection that the other side opened.
    Reply,
}

/// What a rule does with the packets that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Leave the packet to the other tables.
    Accept,
    /// Count and drop it.
    Drop,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// All of these have to hold.
    pub(crate) matches: Vec<Match>,
    /// What happens then.
    pub(crate) verdict: Verdict,
}

/// One base chain; what no rule drops, it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its name, and what nft calls its hook.
    pub(crate) name: &'static str,
    /// The hook's number in the family of the table.
    pub(crate) hook: u32,
    /// The rules, in order.
    pub(crate) rules: Vec<Rule>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Family (`NFPROTO_*`).
    pub(crate) family: u8,
    /// Its chains.
    pub(crate) chains: Vec<Chain>,
}

/// The name of the tables that guard a bridge.
pub(crate) fn table_name(bridge: &BridgeName) -> String {
    format!("polis-init-{bridge}")
}

/// Everything that stands in the tables of `bridge`.
///
/// `bridge` is cut off from the machine, whatever the protocol; `egress` bridges may go out, to
/// public addresses and to the `name_servers`.
pub(crate) fn tables(
    bridge: &BridgeName,
    egress: &[BridgeName],
    name_servers: &[Ipv4Addr],
) -> [Table; 2] {
    let mut input = vec![drops([Match::In(bridge.clone())])];
    let mut forward = vec![drops([
        Match::In(bridge.clone()),
        Match::NotOut(bridge.clone()),
    ])];
    for bridge in egress {
        input.extend(to_the_machine(bridge, name_servers));
        forward.extend(to_elsewhere(bridge, name_servers));
    }
    // Reports of multicast groups and searches for routers would tell the machine's address.
    let output = vec![drops([Match::Out(bridge.clone())])];
    let inet = [
        (1, "input", input),
        (2, "forward", forward),
        (3, "output", output),
    ];
    // The machine answers questions for any of its addresses, whatever the interface.
    let arp = [(0, "input", vec![drops([Match::In(bridge.clone())])])];
    [
        table(FAMILY_INET, inet.into()),
        table(FAMILY_ARP, arp.into()),
    ]
}

fn table(family: u8, chains: Vec<(u32, &'static str, Vec<Rule>)>) -> Table {
    let chain = |(hook, name, rules)| Chain { name, hook, rules };
    Table {
        family,
        chains: chains.into_iter().map(chain).collect(),
    }
}

/// What an egress bridge sends to the machine itself.
fn to_the_machine(bridge: &BridgeName, name_servers: &[Ipv4Addr]) -> Vec<Rule> {
    let mut rules = vec![accepts([Match::In(bridge.clone()), Match::Reply])];
    rules.extend(to_name_servers(bridge, name_servers));
    rules.push(drops([Match::In(bridge.clone())]));
    rules
}

/// What an egress bridge sends through the machine.
fn to_elsewhere(bridge: &BridgeName, name_servers: &[Ipv4Addr]) -> Vec<Rule> {
    let from = || Match::In(bridge.clone());
    let mut rules = vec![
        // Neighbours: bridged packets pass here too where br_netfilter is loaded, as Docker does.
        accepts([from(), Match::Out(bridge.clone())]),
        accepts([from(), Match::Reply]),
        // The stack has no IPv6, so none may leave it.
        drops([from(), Match::Family(IPV6)]),
    ];
    rules.extend(to_name_servers(bridge, name_servers));
    rules.extend(
        NOT_PUBLIC.map(|(network, length)| {
            drops([from(), Match::Family(IPV4), Match::To(network, length)])
        }),
    );
    rules
}

/// Docker's resolver asks a name server from within the container that wants to know, unless it is
/// one on the machine's loopback.
fn to_name_servers(bridge: &BridgeName, name_servers: &[Ipv4Addr]) -> Vec<Rule> {
    let both = |server: &Ipv4Addr| {
        [UDP, TCP].map(|protocol| {
            accepts([
                Match::In(bridge.clone()),
                Match::Family(IPV4),
                Match::To(*server, 32),
                Match::Port(protocol, DNS),
            ])
        })
    };
    name_servers.iter().flat_map(both).collect()
}

fn accepts<const N: usize>(matches: [Match; N]) -> Rule {
    Rule {
        matches: matches.into(),
        verdict: Verdict::Accept,
    }
}

fn drops<const N: usize>(matches: [Match; N]) -> Rule {
    Rule {
        matches: matches.into(),
        verdict: Verdict::Drop,
    }
}

/// The IPv4 name servers of a resolv.conf(5) that packets of a container can go to: not those on
/// loopback, which Docker asks from the machine, and not 0.0.0.0, which means the same.
pub(crate) fn name_servers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let address = |line: &str| -> Option<Ipv4Addr> {
        let mut words = line.split_whitespace();
        let keyword = words.next()?;
        words
            .next()
            .filter(|_| keyword == "nameserver")?
            .parse()
            .ok()
    };
    let mut servers: Vec<Ipv4Addr> = resolv_conf
        .lines()
        .filter_map(address)
        .filter(|server| !server.is_loopback() && !server.is_unspecified())
        .collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_the_addresses_that_a_container_would_send_to() {
        let text = "# nameserver 10.0.0.9\nsearch lan\nnameserver 127.0.0.53\nnameserver\t192.168.64.1 # x\n\
                    ;nameserver 10.0.0.8\nnameserver 0.0.0.0\nnameserver fe80::1%eth0\nnameserver\nnameserver host\n\
                    nameserver 10.0.0.1\nnameserver 192.168.64.1\nnameservers 10.0.0.7\n";
        assert_eq!(
            name_servers(text),
            [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 168, 64, 1)]
        );
        assert!(name_servers("").is_empty());
    }

    #[test]
    fn networks_have_no_bits_beyond_their_prefix() {
        for (network, length) in NOT_PUBLIC {
            assert_eq!(
                u32::from(network) & (u32::MAX >> 1 >> (length - 1)),
                0,
                "{network}/{length}"
            );
        }
    }
}
