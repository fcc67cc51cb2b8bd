#!/bin/bash
# Makes the workspace ready: trust the CA that gate's certificates come from, make sure that there is no IPv6, then send
# everything through gate. Whatever fails here leaves the workspace without a way out.
#
# Docker gives a container on an internal network no default route; this is the only one it ever gets.
# Assumes the image has bash, coreutils, grep, ip (iproute2), openssl and update-ca-certificates (ca-certificates).
set -euo pipefail

readonly GATE=10.10.1.10
readonly CA=/usr/local/share/ca-certificates/polis-ca.crt
readonly BUNDLE=/etc/ssl/certs/ca-certificates.crt

die() {
    printf 'workspace: error: %s\n' "$*" >&2
    exit 1
}

# update-ca-certificates passes over a file that is mounted with a foreign owner, without a word. A copy that root owns
# and that is listed by name is taken.
trust() {
    [[ -s $CA ]] || die "$CA is missing"
    install -m 0644 "$CA" /usr/share/ca-certificates/polis-ca.crt
    grep -qxF polis-ca.crt /etc/ca-certificates.conf || printf 'polis-ca.crt\n' >>/etc/ca-certificates.conf
    update-ca-certificates
    # The program's word is not enough: a workspace that does not trust the CA looks healthy, and no TLS works in it.
    # The bundle alone counts: openssl would look into /etc/ssl/certs too, where most programs do not.
    openssl verify -no-CApath -no-CAstore -CAfile "$BUNDLE" "$CA" >/dev/null || die "$BUNDLE does not have the certificate of $CA"
}

# The rules of gate are for IPv4. Neighbours on the bridge, the machine among them, answer to link-local addresses.
no_ipv6() {
    local addresses
    [[ -e /proc/net/if_inet6 ]] || return 0
    addresses=$(</proc/net/if_inet6)
    [[ -z $addresses ]] || die "there is IPv6 in this container, although docker-compose.yml turns it off: $addresses"
}

# A second run starts without the route of the first.
ip -4 route flush exact default
trust
no_ipv6
# The route last: without trust every connection would only fail in a more confusing way.
ip -4 route replace default via "$GATE"
printf 'workspace: all traffic goes through %s\n' "$GATE"
