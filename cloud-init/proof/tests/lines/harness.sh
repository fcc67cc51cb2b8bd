#!/bin/bash
# Runs one case against the functions of the provisioning script, in a separate bash and directory.
#
# Usage: harness.sh DIRECTORY CASE, with TRACE in the environment to trace it. The directory contains `script`, which is the
# provisioning script without its last line and with all paths of the guest below that directory. Commands that would change a
# machine are functions here, which take precedence over programs; their arguments are recorded in `calls`.
# shellcheck disable=SC2034,SC1090,SC1091
here=${BASH_SOURCE[0]%/*}
top=$1
mkdir -p "$top"/etc/{polis,docker,audit/rules.d,sysctl.d,systemd/system,apt/sources.list.d} \
  "$top"/var/{log,lib/polis/work,lib/cloud/instance} "$top"/{opt,run/docker/netns} "$top"/usr/local/{bin,lib/polis}
. "$top/script"
# Time passes only when a case says so.
unset SECONDS
SECONDS=0
# Removing a line may create an endless loop.
ulimit -t 1
exec 3>"$top/said"
: >"$top/calls"

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# is FOUND EXPECTED
is() {
  [[ $1 == "$2" ]] || fail "found
$1
wanted
$2"
}

# Runs a command as the script would; sets STATUS to its exit code and OUT to its output.
run() {
  set +e
  OUT=$(set -Ee; "$@" 2>&1)
  STATUS=$?
  set -e
}

# The command must exit with code $1.
ends() {
  local code=$1
  shift
  run "$@"
  is "$* ends with $STATUS: $OUT" "$* ends with $code: $OUT"
}

# The command must fail with any code.
ends_badly() {
  run "$@"
  ((STATUS != 0)) || fail "$* ends well"
}

note() { printf '%s\n' "$*" >>"$top/calls"; }

# The calls since the last time, as lines.
called() {
  cat "$top/calls"
  : >"$top/calls"
}

# Advances the time without waiting.
sleep() {
  note "sleep $1"
  SECONDS=$((SECONDS + $1))
}

timeout() {
  note "timeout $1"
  shift
  "$@"
}

for name in telling tools pins steps; do . "$here/$name.sh"; done
# Records the functions that a case runs.
eval "${TRACE:-}"
"case_$2"
