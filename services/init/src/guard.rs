//! Plans, without touching the kernel, what a bridge must not reach: the rules of the tables that belong only to `polis-init`.
//!
//! Docker's chains cover forwarded IPv4. They do not block a container's access to the ports of the machine itself or, on a network
//! without IPv6, to the machine's link-local address. A drop is final in any table, so these rules need no position in Docker's
//! chains, and neither a restart of Docker nor its choice of firewall backend affects them. An `accept` ends only its own chain: it
//! never overrules Docker or another firewall.

use std::net::Ipv4Addr;

use crate::bridge::BridgeName;

/// `NFPROTO_INET` in linux/netfilter.h: chains that see IPv4 and IPv6.
pub(crate) const FAMILY_INET: u8 = 1;

/// `NFPROTO_ARP` in linux/netfilter.h.
pub(crate) const FAMILY_ARP: u8 = 3;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`, the protocol of a packet in a chain of the `inet` family.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;

/// Networks that are not public, as address and prefix length: the private, shared, link-local and
/// reserved ranges of IANA's special-purpose IPv4 registry (without those for documentation), and
/// multicast.
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
    // A public address, but on Azure the host of the virtual machine serves metadata there.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// One condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// It arrived on this interface.
    In(BridgeName),
    /// It leaves by this interface.
    Out(BridgeName),
    /// It leaves by any other interface.
    NotOut(BridgeName),
    /// It is IPv4 or IPv6 (`NFPROTO_*`).
    Family(u8),
    /// Its IPv4 destination is in this network. Only after [`Match::Family`] of IPv4.
    To(Ipv4Addr, u8),
    /// Its protocol is this one (`IPPROTO_TCP` or `IPPROTO_UDP`) and its destination this port.
    Port(u8, u16),
    /// It belongs to a connection that the other side opened.
    Reply,
}

/// The action for packets that match.
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
    /// All of these must hold.
    pub(crate) matches: Vec<Match>,
    /// The action.
    pub(crate) verdict: Verdict,
}

/// One base chain; it accepts packets that no rule drops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its name, which is also nft's name of its hook.
    pub(crate) name: &'static str,
    /// The hook's number in the table's family.
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

/// The complete tables of `bridge`.
///
/// They isolate `bridge` from the machine in every protocol, allow the `egress` bridges to reach only public addresses and the
/// `name_servers`, and allow only replies from the `ingress` bridges.
pub(crate) fn tables(
    bridge: &BridgeName,
    egress: &[BridgeName],
    ingress: &[BridgeName],
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
    for bridge in ingress {
        let only_replies = [
            accepts([Match::In(bridge.clone()), Match::Reply]),
            drops([Match::In(bridge.clone())]),
        ];
        input.extend(only_replies.clone());
        forward.extend(only_replies);
    }
    // Multicast reports and router solicitations would reveal the machine's address.
    let output = vec![drops([Match::Out(bridge.clone())])];
    let inet = [
        (1, "input", input),
        (2, "forward", forward),
        (3, "output", output),
    ];
    // The machine answers ARP requests for any of its addresses on every interface.
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

/// The rules for traffic from an egress bridge to the machine itself.
fn to_the_machine(bridge: &BridgeName, name_servers: &[Ipv4Addr]) -> Vec<Rule> {
    let mut rules = vec![accepts([Match::In(bridge.clone()), Match::Reply])];
    rules.extend(to_name_servers(bridge, name_servers));
    rules.push(drops([Match::In(bridge.clone())]));
    rules
}

/// The rules for traffic from an egress bridge through the machine.
fn to_elsewhere(bridge: &BridgeName, name_servers: &[Ipv4Addr]) -> Vec<Rule> {
    let from = || Match::In(bridge.clone());
    let mut rules = vec![
        // Containers on the same bridge: with br_netfilter, which Docker loads, bridged packets also pass here.
        accepts([from(), Match::Out(bridge.clone())]),
        accepts([from(), Match::Reply]),
        // The stack does not use IPv6, so drop all of it.
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

/// DNS: Docker's resolver queries a name server from inside the container that sent the query, unless the server is on the
/// machine's loopback.
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

/// The IPv4 name servers of a resolv.conf(5) to which a container sends packets. Excludes those on loopback, which Docker queries
/// from the machine, and 0.0.0.0, which means the same.
pub(crate) fn name_servers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let address = |line: &str| -> Option<Ipv4Addr> {
        let mut words = line.split_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        words.next()?.parse().ok()
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
    fn name_servers_are_those_that_a_container_queries() {
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
