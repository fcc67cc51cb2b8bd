#!/bin/bash
# Health check of gate: the proxy listens, its rules are loaded, and resolver answers on the network that gate uses.
#
# The last one stands in for a check inside resolver, whose image has no program that could ask a question.
# Assumes the image has bash, nft and timeout (coreutils).
set -euo pipefail

fail() {
    printf 'unhealthy: %s\n' "$*" >&2
    exit 1
}

# Port 18080 is 46A0 and state 0A is LISTEN; reading the table disturbs the proxy less than connecting to it.
[[ $(</proc/net/tcp) =~ :46A0\ [0-9A-F]{8}:0000\ 0A ]] || fail "g3proxy does not listen on 18080"
nft list table inet polis >/dev/null || fail "the TPROXY rules are gone"
timeout 3 bash -c 'exec 3<>/dev/tcp/10.30.1.10/53' || fail "resolver does not accept connections on 10.30.1.10:53"
