#!/bin/bash
# Entry point of sentinel: runs c-icap, and distinguishes a configuration error from a requested stop.
#
# On a configuration error c-icap prints "Fatal error while parsing config file" and exits with 0. Docker would restart the
# container forever, to no effect. Instead the container keeps running, with the reason at the end of its log, and its
# health check fails. After any other exit, Docker restarts it.
#
# Assumes the image has bash, sleep (coreutils) and c-icap.
set -uo pipefail

readonly CONFIG=/etc/c-icap/c-icap.conf

stopped=
child=
trap 'stopped=1; kill -TERM "$child" 2>/dev/null' TERM INT

# Waits for the child to exit: a trapped signal ends `wait`, but not the child.
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
    printf 'sentinel: error: c-icap exited with 0, as it does on an error in %s; see above\n' "$CONFIG" >&2
    sleep infinity &
    child=$!
    await
    exit 0
fi
printf 'sentinel: error: c-icap exited with %d\n' "$code" >&2
exit "$code"
