#!/bin/bash
# Entry point of gate: opens the workspace's only way out, closes all others, then drops its privileges and becomes
# g3proxy.
#
# The container starts as root with NET_ADMIN, because TPROXY can be set up only inside its own network namespace.
# g3proxy itself keeps only NET_RAW, which allows it to answer from foreign addresses but not to change a rule.
#
# Assumes the image has bash, ip (iproute2), nft (nftables), openssl, setpriv (util-linux) and g3proxy.
set -euo pipefail

readonly INTERNAL_ADDRESS=10.10.1.10
readonly INTERNAL_NETWORK=10.10.1.0/24
readonly PROXY_PORT=18080 # listen of the tcp_tproxy server in g3proxy.yaml
readonly MARK=0x2
readonly TABLE=102
readonly RESOLVER=10.30.1.10
readonly RUN_AS=65532
readonly CA_CERTIFICATE=/etc/g3proxy/ssl/ca.pem
readonly CONFIG=/etc/g3proxy/g3proxy.yaml

die() {
    printf 'gate: %s\n' "$*" >&2
    exit 1
}

# Prints the interface with the gate's address on the internal network; Docker does not guarantee its name.
internal_interface() {
    local line interface
    line=$(ip -4 -o address show to "$INTERNAL_ADDRESS/32")
    [[ -n $line ]] || die "no interface has $INTERNAL_ADDRESS: is the container on internal-bridge?"
    read -r _ interface _ <<<"$line"
    printf '%s\n' "${interface%%@*}"
}

# Delivers marked packets to this machine whatever their destination. Safe to run twice.
route_marked_packets() {
    ip -4 rule delete fwmark "$MARK" table "$TABLE" 2>/dev/null || true
    ip -4 rule add fwmark "$MARK" table "$TABLE"
    ip -4 route replace local default dev lo table "$TABLE"
}

# A single transaction: either all rules apply, or the old ones stay. `table` before `delete` also makes the first run succeed.
load_rules() {
    local interface=$1
    nft -f - <<RULES
table inet polis
delete table inet polis
table inet polis {
    chain divert {
        type filter hook prerouting priority mangle; policy accept;
        iifname != "$interface" accept
        meta nfproto ipv6 drop
        ip saddr != $INTERNAL_NETWORK drop
        # Packets to gate itself go to the chain input. This also prevents loops through the proxy.
        fib daddr type { local, broadcast, multicast } accept
        # The two protocols that g3proxy decrypts and sentinel reads. g3proxy would forward any other protocol
        # uninspected, so other ports never reach it.
        tcp dport { 80, 443 } tproxy ip to :$PROXY_PORT meta mark set $MARK accept
    }
    chain names {
        # resolver answers every DNS query, whichever server it is sent to.
        type nat hook prerouting priority dstnat; policy accept;
        iifname "$interface" ip saddr $INTERNAL_NETWORK meta l4proto { tcp, udp } th dport 53 dnat ip to $RESOLVER
    }
    chain answers {
        # resolver is also on the workspace's network: without this rule, its answers would bypass gate.
        type nat hook postrouting priority srcnat; policy accept;
        ip daddr $RESOLVER ct status dnat masquerade
    }
    chain input {
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ct state established,related accept
        iifname "$interface" meta mark $MARK accept
        iifname "$interface" meta l4proto tcp reject with tcp reset
        iifname "$interface" reject with icmp admin-prohibited
    }
    chain forward {
        # Only DNS queries to resolver and their answers are forwarded, because nothing else can be inspected: UDP (and so QUIC),
        # ICMP, other ports. The rest is rejected rather than dropped, so that programs fail or fall back to TCP immediately.
        type filter hook forward priority filter; policy drop;
        ct state established,related ct status dnat accept
        iifname "$interface" ip daddr $RESOLVER ct status dnat accept
        iifname "$interface" meta l4proto tcp reject with tcp reset
        iifname "$interface" reject with icmp admin-prohibited
    }
}
RULES
}

# An expired CA would cause a certificate error in every program of the workspace; fail here with a clear message instead.
check_ca() {
    [[ -r $CA_CERTIFICATE ]] || die "cannot read $CA_CERTIFICATE"
    openssl x509 -in "$CA_CERTIFICATE" -noout -checkend 86400 >/dev/null ||
        die "$CA_CERTIFICATE expires within a day: see scripts/generate-secrets.sh"
}

main() {
    local interface
    # The rules come first: from the first packet on, only the inspected way out exists.
    interface=$(internal_interface)
    load_rules "$interface"
    route_marked_packets
    check_ca
    printf 'gate: ports 80 and 443 from %s on %s go to g3proxy on port %s\n' \
        "$INTERNAL_NETWORK" "$interface" "$PROXY_PORT"
    exec setpriv --reuid="$RUN_AS" --regid="$RUN_AS" --clear-groups \
        --inh-caps=-all,+net_raw --ambient-caps=-all,+net_raw \
        -- g3proxy -c "$CONFIG"
}

main "$@"
