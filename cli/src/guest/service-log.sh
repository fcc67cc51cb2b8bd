# Writes to a file the log lines that explain why a service is unhealthy: those that name a cause, then the rest of the last 40.
# The caller reads the file in parts, because no call may print that much. Arguments: the service, the file.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis && mkdir -p -- "${2%/*}" || exit 10
docker compose logs --no-color --no-log-prefix --tail 400 "$1" 2>&1 | cut -c 1-300 | awk '
  { line[NR] = $0; cause[NR] = tolower($0) ~ /error|fatal|fail|panic|denied|refused|cannot|invalid|not permitted/ }
  END {
    for (at = NR; at > 0 && found < 8; at--) if (cause[at]) { first[++found] = at; shown[at] = 1 }
    for (at = found; at > 0; at--) print line[first[at]]
    for (at = NR > 40 ? NR - 39 : 1; at <= NR; at++) if (!shown[at]) print line[at]
  }' >"$2"
