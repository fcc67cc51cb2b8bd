#!/bin/bash
# Makes the workspace ready: trust the CA that gate's certificates come from, then send everything through gate.
#
# Docker gives a container on an internal network no default route; this is the only one it ever gets.
# Assumes the image has bash, ip (iproute2) and update-ca-certificates (ca-certificates).
set -euo pipefail

readonly GATE=10.10.1.10
readonly CA=/usr/local/share/ca-certificates/polis-ca.crt

[[ -s $CA ]] || {
    printf 'workspace: %s is missing\n' "$CA" >&2
    exit 1
}
update-ca-certificates

# The route last: without trust every connection would only fail in a more confusing way.
ip -4 route replace default via "$GATE"
printf 'workspace: all traffic goes through %s\n' "$GATE"
