#!/bin/sh
# Routes everything that the machine downloads through one slow link, in the machine's own network namespace: the responses of
# the stand-ins on the loopback address, and those of the registry.
# Arguments: the rate and the delay, as tc takes them.
set -eu
ip link set lo mtu 1500
ip link add ifb0 type ifb
ip link set ifb0 up
# Not every kernel has netem. Without it, only the rate is limited.
tc qdisc add dev ifb0 root handle 1: tbf rate "$1" burst 64k latency 400ms
if tc qdisc add dev ifb0 parent 1: netem delay "$2" limit 10000; then echo "delay $2"; else echo "no delay"; fi >/run/link 2>/dev/null
for place in "lo egress" "eth0 ingress"; do
  tc qdisc add dev "${place% *}" clsact
  tc filter add dev "${place% *}" "${place#* }" protocol ip u32 match ip sport 443 0xffff \
    action mirred egress redirect dev ifb0
done
