#!/bin/bash
# The networks around gate with the relevant hosts, each a network namespace: the workspace, gate, resolver, and a server outside.
# Loads the rules of gate's init.sh with the real nft, then prints what the workspace can reach.
#
# Runs inside the namespaces of src/isolated.rs: its network namespaces have no names outside, and its servers end with the
# script.
# isolated.sh INIT_SH RP_FILTER
set -euo pipefail

init=$1 rp_filter=$2
here=$(dirname "${BASH_SOURCE[0]}")

mkdir -p /run/netns
mount -t tmpfs none /run/netns

for space in workspace gate resolver outside; do
    ip netns add "$space"
    ip -n "$space" link set lo up
done
for bridge in internal gateway external; do
    ip link add "$bridge" type bridge
    ip link set "$bridge" up
done

# port SPACE INTERFACE BRIDGE ADDRESS
port() {
    ip -n "$1" link add "$2" type veth peer name "$1-$2" netns "$$"
    ip link set "$1-$2" master "$3" up
    ip -n "$1" address add "$4/24" dev "$2"
    ip -n "$1" link set "$2" up
}

port workspace eth0 internal 10.10.1.130
port gate eth0 internal 10.10.1.10
port gate eth1 gateway 10.30.1.6
port gate eth2 external 10.20.1.3
port resolver eth0 internal 10.10.1.2
port resolver eth1 gateway 10.30.1.10
port outside eth0 external 10.20.1.1
ip -n workspace route add default via 10.10.1.10
ip -n gate route add default via 10.20.1.1
# The server outside could answer even for an address that it should never see.
ip -n outside address add 203.0.113.1/32 dev lo
ip -n outside route add 10.10.1.0/24 via 10.20.1.3

# The settings that docker-compose.yml makes in gate, and the machine in resolver.
inside() { ip netns exec "$@"; }
inside gate sysctl -qw net.ipv4.ip_forward=1 net.ipv4.ip_nonlocal_bind=1 net.ipv4.conf.all.route_localnet=1
for setting in all default eth0 eth1; do
    inside gate sysctl -qw "net.ipv4.conf.$setting.rp_filter=$rp_filter"
    inside resolver sysctl -qw "net.ipv4.conf.$setting.rp_filter=$rp_filter"
done

# All of init.sh except its last step, which becomes g3proxy. Twice, as after a restart of the process alone.
# shellcheck disable=SC2016 # the inner shell expands it
inside gate bash -c "$(sed '/^main "\$@"$/d' "$init")"'
    load_rules "$(internal_interface)"
    load_rules "$(internal_interface)"
    route_marked_packets'

probe() { inside "$1" python3 "$here/probe.py" "${@:2}"; }
exec 3< <(probe gate serve g3proxy transparent:18080 tcp:9000 udp:9000)
exec 4< <(probe resolver serve resolver tcp:53 udp:53 tcp:9153)
exec 5< <(probe outside serve outside tcp:{22,53,80,443,8080,9000} udp:{53,443,9000})
for server in 3 4 5; do read -r -u "$server" _; done

probe workspace try \
    {tcp:{80,443,22,8080,9000,53},udp:{53,443,9000}}:203.0.113.1 \
    {tcp,udp}:53:10.10.1.2 \
    {tcp:{18080,9000,80,53},udp:{53,9000}}:10.10.1.10 \
    {tcp:{18080,9000,80},udp:9000}:10.30.1.6 \
    {tcp:{18080,9000,80},udp:9000}:10.20.1.3 \
    {tcp:{53,9153},udp:53}:10.30.1.10
printf 'gate itself: '
probe gate try tcp:80:203.0.113.1
