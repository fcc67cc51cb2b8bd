# Passes a transferred archive to a command in the workspace, and removes it. Arguments: the archive, its SHA-256, the
# command. Exits with 11 if the archive is damaged, with 24 if there is no stack, otherwise like the command.
set -uo pipefail
code=0
trap 'code=$?; rm -f -- "$archive"; case $code in 0|11|2[0-5]|30) exit "$code" ;; esac; exit 10' EXIT
archive=$1 digest=$2
shift 2
if ! printf '%s  %s\n' "$digest" "$archive" | sha256sum --check --status; then exit 11; fi
if ! { cd /opt/polis && command -v docker && [[ -e docker-compose.yml ]]; } >/dev/null 2>&1; then exit 24; fi
# The workspace's output may be endless.
"$@" <"$archive" 2>&1 >/dev/null | tail -c 1500 >&2
