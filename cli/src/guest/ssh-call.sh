# Asks a command in the workspace for one short answer. Arguments: the command. Ends with 24 when there is no stack.
set -uo pipefail
code=0
trap 'code=$?; case $code in 0|24) exit "$code" ;; esac; exit 10' EXIT
if ! { cd /opt/polis && command -v docker && [[ -e docker-compose.yml ]]; } >/dev/null 2>&1; then exit 24; fi
# The workspace may print without end.
if ! answer=$("$@" </dev/null 2>&1 | head -c 1500); then
  printf '%s\n' "$answer" >&2
  exit 10
fi
printf 'polis-ssh 1\n%s\n' "$answer"
