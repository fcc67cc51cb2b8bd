#!/bin/bash
# Health check of gate: the proxy listens, its rules are loaded, resolver answers on the network that gate uses, and
# sentinel inspects. The last one is a real round trip: a sentinel whose threads are all busy still accepts connections,
# but no request of the workspace gets an answer.
#
# This also checks resolver, whose image has no program that could send a query.
# Assumes the image has bash, nft and timeout (coreutils).
set -euo pipefail

readonly SENTINEL=10.30.1.5
readonly ICAP_PORT=1344

fail() {
    printf 'unhealthy: %s\n' "$*" >&2
    exit 1
}

# Sends an ICAP request, in which `\r\n` is still escaped, and prints the status line of the answer.
icap() {
    local answer
    exec 3<>"/dev/tcp/$SENTINEL/$ICAP_PORT"
    printf '%b' "$1" >&3
    IFS= read -r answer <&3
    printf '%s\n' "${answer%$'\r'}"
}

# Requests the OPTIONS of the service that inspects requests; c-icap answers from the same pool of threads. A real request
# would be recorded as a new destination.
options() {
    icap "OPTIONS icap://$SENTINEL:$ICAP_PORT/$1 ICAP/1.0\r\nHost: $SENTINEL\r\nConnection: close\r\n\r\n"
}

# Has a response of two bytes scanned, as every answer from the internet is.
scan() {
    local request='GET http://health.polis.internal/ HTTP/1.1\r\nHost: health.polis.internal\r\n\r\n'
    local response='HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n'
    local plain_request plain_response
    printf -v plain_request '%b' "$request"
    printf -v plain_response '%b' "$response"
    local body=$((${#plain_request} + ${#plain_response}))
    local places="req-hdr=0, res-hdr=${#plain_request}, res-body=$body"
    local head="RESPMOD icap://$SENTINEL:$ICAP_PORT/$1 ICAP/1.0\r\nHost: $SENTINEL\r\nAllow: 204\r\n"
    icap "${head}Connection: close\r\nEncapsulated: $places\r\n\r\n$request${response}2\r\nok\r\n0\r\n\r\n"
}

# `timeout` runs this script again, because it cannot run a function.
case ${1-} in
    options | scan)
        "$@"
        exit
        ;;
esac

# Port 18080 is 46A0 and state 0A is LISTEN; reading the table disturbs the proxy less than connecting to it.
[[ $(</proc/net/tcp) =~ :46A0\ [0-9A-F]{8}:0000\ 0A ]] || fail "g3proxy does not listen on 18080"
nft list table inet polis >/dev/null || fail "the TPROXY rules are gone"
timeout 2 bash -c 'exec 3<>/dev/tcp/10.30.1.10/53' || fail "resolver does not accept connections on 10.30.1.10:53"
answer=$(timeout 3 "$0" options credcheck) || fail "sentinel does not answer for requests"
[[ $answer == 'ICAP/1.0 200 '* ]] || fail "sentinel refuses requests: $answer"
answer=$(timeout 4 "$0" scan sentinel_respmod) || fail "sentinel does not answer for responses"
[[ $answer == 'ICAP/1.0 20'[04]' '* ]] || fail "sentinel refuses responses: $answer"
