#!/bin/bash
# Prepares the workspace: trusts the CA that signs gate's certificates, makes sure that IPv6 is off, then routes everything
# through gate. If any step fails, the workspace has no way out.
#
# Docker gives a container on an internal network no default route; this is its only one.
# Assumes the image has bash, coreutils, grep, ip (iproute2), openssl and update-ca-certificates (ca-certificates).
set -euo pipefail

readonly GATE=10.10.1.10
readonly CA=/usr/local/share/ca-certificates/polis-ca.crt
readonly BUNDLE=/etc/ssl/certs/ca-certificates.crt

die() {
    printf 'workspace: error: %s\n' "$*" >&2
    exit 1
}

# update-ca-certificates silently skips a mounted file that belongs to another user. It accepts a copy that root owns and
# that its configuration lists.
trust() {
    [[ -s $CA ]] || die "$CA is missing"
    install -m 0644 "$CA" /usr/share/ca-certificates/polis-ca.crt
    grep -qxF polis-ca.crt /etc/ca-certificates.conf || printf 'polis-ca.crt\n' >>/etc/ca-certificates.conf
    update-ca-certificates
    # The exit code is not enough: a workspace that does not trust the CA looks healthy, but TLS does not work in it. Only the
    # bundle counts; by default openssl would also read /etc/ssl/certs, which most programs do not.
    openssl verify -no-CApath -no-CAstore -CAfile "$BUNDLE" "$CA" >/dev/null ||
        die "$BUNDLE does not contain the certificate $CA"
}

# gate's rules are for IPv4, and neighbours on the bridge answer on link-local addresses.
no_ipv6() {
    local addresses
    [[ -e /proc/net/if_inet6 ]] || return 0
    addresses=$(</proc/net/if_inet6)
    [[ -z $addresses ]] || die "IPv6 is on in this container, although docker-compose.yml turns it off: $addresses"
}

# A second run must not keep the first one's route.
ip -4 route flush exact default
trust
no_ipv6
# The route comes last: without trust, connections would fail in a more confusing way.
ip -4 route replace default via "$GATE"
printf 'workspace: all traffic goes through %s\n' "$GATE"
