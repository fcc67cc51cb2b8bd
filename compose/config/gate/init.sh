#!/bin/bash
# Entry point of gate: opens the one way out of the workspace, closes all others, then becomes g3proxy without
# privileges.
#
# The container starts as root with NET_ADMIN because only here, inside its own network namespace, can TPROXY be set
# up. g3proxy itself keeps NET_RAW alone, which is enough to answer in the name of a foreign address and not enough to
# change one rule.
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

# Prints the interface that carries the gate's address on the internal network; Docker does not promise a name.
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

# One transaction: either all rules hold or the old ones do. `table` before `delete` makes the first run succeed too.
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
        # Packets to gate itself go to the chain input, which also keeps the proxy from being pointed at itself.
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
        # resolver is on the workspace's network too: without this, its answers would bypass gate.
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
        # Only DNS queries to resolver and their answers are forwarded. Nothing else can be inspected: UDP (and so QUIC),
        # ICMP, other ports. It is rejected rather than dropped, so that programs fail or fall back to TCP at once.
        type filter hook forward priority filter; policy drop;
        ct state established,related ct status dnat accept
        iifname "$interface" ip daddr $RESOLVER ct status dnat accept
        iifname "$interface" meta l4proto tcp reject with tcp reset
        iifname "$interface" reject with icmp admin-prohibited
    }
}
RULES
}

# An expired CA turns into a certificate error in every program of the workspace; here it has a name.
check_ca() {
    [[ -r $CA_CERTIFICATE ]] || die "cannot read $CA_CERTIFICATE"
    openssl x509 -in "$CA_CERTIFICATE" -noout -checkend 86400 >/dev/null ||
        die "$CA_CERTIFICATE expires within a day: see scripts/generate-secrets.sh"
}

main() {
    local interface
    # The rules before all else: from the first moment that packets have a way, it is the inspected one.
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
