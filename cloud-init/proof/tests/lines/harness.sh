#!/bin/bash
# Runs one case against the functions of the provisioning script, in a bash of its own and a directory of its own.
#
# Usage: harness.sh DIRECTORY CASE, with TRACE in the environment to trace it. The directory has `script`, which is the script without its last line and with every
# path of the guest below that directory. A command that would change a machine is a function here, which takes
# precedence over the program; what it is called with goes to `calls`.
# shellcheck disable=SC2034,SC1090,SC1091
here=${BASH_SOURCE[0]%/*}
top=$1
mkdir -p "$top"/etc/{polis,docker,audit/rules.d,sysctl.d,systemd/system,apt/sources.list.d} \
  "$top"/var/{log,lib/polis/work,lib/cloud/instance} "$top"/{opt,run/docker/netns} "$top"/usr/local/{bin,lib/polis}
. "$top/script"
# Time passes when a case says so.
unset SECONDS
SECONDS=0
# A line that went missing may leave a loop without an end.
ulimit -t 1
exec 3>"$top/said"
: >"$top/calls"

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# $1 was found, $2 was wanted.
is() {
  [[ $1 == "$2" ]] || fail "found
$1
wanted
$2"
}

# Leaves the exit code of a command in STATUS and what it printed in OUT; the command runs as the script would run it.
run() {
  set +e
  OUT=$(set -Ee; "$@" 2>&1)
  STATUS=$?
  set -e
}

# The command must end with code $1.
ends() {
  local code=$1
  shift
  run "$@"
  is "$* ends with $STATUS: $OUT" "$* ends with $code: $OUT"
}

# The command must fail, with whatever code.
ends_badly() {
  run "$@"
  ((STATUS != 0)) || fail "$* ends well"
}

note() { printf '%s\n' "$*" >>"$top/calls"; }

# What was called since the last time, as lines.
called() {
  cat "$top/calls"
  : >"$top/calls"
}

# Time passes without being waited for.
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
# Which functions a case runs.
eval "${TRACE:-}"
"case_$2"
