#!/bin/bash
# Entry point of sentinel: runs c-icap, and tells an error in its configuration from an end that was asked for.
#
# c-icap prints "Fatal error while parsing config file" and exits with 0. Docker would take that for a container that is
# done, and start it again for ever. A restart mends no configuration: the container stays, with the reason as the last
# line of its log, and its health check says unhealthy. Any other end is Docker's to restart.
#
# Assumes the image has bash, sleep (coreutils) and c-icap.
set -uo pipefail

readonly CONFIG=/etc/c-icap/c-icap.conf

stopped=
child=
trap 'stopped=1; kill -TERM "$child" 2>/dev/null' TERM INT

# Waits for the child: a signal that is trapped ends `wait`, not the child.
await() {
    local code
    while true; do
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || return "$code"
    done
}

c-icap -N -D -f "$CONFIG" &
child=$!
await
code=$?
[[ -z $stopped ]] || exit 0
if ((code == 0)); then
    printf 'sentinel: error: c-icap ended by itself with 0, as it does after an error in %s: see above\n' "$CONFIG" >&2
    sleep infinity &
    child=$!
    await
    exit 0
fi
printf 'sentinel: error: c-icap ended with %d\n' "$code" >&2
exit "$code"
