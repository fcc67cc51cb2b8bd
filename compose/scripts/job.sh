#!/bin/bash
# Runs a command and records its result: the output in DIRECTORY/log, and finally its exit code in DIRECTORY/code. The CLI starts
# this as a separate unit. It is a file because systemd expands `$` in the arguments of a unit before any shell sees them.
#
#   scripts/job.sh DIRECTORY COMMAND...
set -uo pipefail

dir=$1
shift
code=0
"$@" >"$dir/log" 2>&1 </dev/null || code=$?
printf '%d\n' "$code" >"$dir/code.new"
mv -f -- "$dir/code.new" "$dir/code"
