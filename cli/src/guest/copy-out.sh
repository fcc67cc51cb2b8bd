# Stores the output of a command in the workspace as an archive, and prints its SHA-256. Arguments: the archive, its maximum
# size in bytes, the command. Exits with 24 if there is no stack, with 25 if there is more output, otherwise like the command.
set -uo pipefail
code=0
trap 'code=$?; ((code == 0)) || rm -f -- "$archive"; case $code in 0|2[0-5]) exit "$code" ;; esac; exit 10' EXIT
archive=$1 most=$2
shift 2
if ! { cd /opt/polis && command -v docker && [[ -e docker-compose.yml ]]; } >/dev/null 2>&1; then exit 24; fi
# The workspace's output may be endless, on both streams.
{ "$@" </dev/null 2>&3 3>&- | head -c "$((most + 1))" >"$archive" 3>&-; } 3>&1 >/dev/null | tail -c 1500 >&2
code=$?
if (($(stat --format=%s -- "$archive") > most)); then exit 25; fi
((code == 0)) || exit "$code"
echo polis-copy 1
sha256sum <"$archive" | cut -d ' ' -f 1
