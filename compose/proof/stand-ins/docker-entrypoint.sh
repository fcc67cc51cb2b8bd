#!/bin/sh
# Stand-in for the entry point of the published scanner image: starts clamd, waits for its socket, starts freshclam, and exits when
# either does. The switches are those that the contract names.
set -eu

echo "stand-in: docker-entrypoint.sh" >&2
if [ "${1-}" = --version ]; then
    exit 0
fi
if [ $# -gt 0 ]; then
    exec "$@"
fi

pids=
if [ "${CLAMAV_NO_CLAMD-false}" != true ]; then
    clamd --foreground &
    pids=$!
    left=${CLAMD_STARTUP_TIMEOUT-1800}
    while [ ! -S /run/clamav/clamd.sock ] && [ ! -S /tmp/clamd.sock ]; do
        kill -0 "$pids" 2>/dev/null || {
            echo "stand-in: clamd ended" >&2
            exit 1
        }
        left=$((left - 1))
        [ "$left" -gt 0 ] || {
            echo "stand-in: clamd created no socket" >&2
            exit 1
        }
        sleep 1
    done
fi
if [ "${CLAMAV_NO_FRESHCLAMD-false}" != true ]; then
    freshclam --checks="${FRESHCLAM_CHECKS-1}" --daemon --foreground --stdout &
    pids="$pids $!"
fi
trap 'kill $pids 2>/dev/null || true' TERM INT
for pid in $pids; do
    wait "$pid"
done
