# Prints what tells why a service is not well: lines of its log that name an error, then the last 40. Argument: the service.
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis || exit 10
log=$(docker compose logs --no-color --no-log-prefix --tail 400 "$1" 2>&1 | cut -c 1-160)
# The whole stays below 4096 bytes: what names an error comes first, and the newest of the rest.
errors=$(grep -iE 'error|fatal|fail|panic|denied|refused|cannot|invalid' <<<"$log" | tail -n 8 | tail -c 1200)
if [[ -n $errors ]]; then printf '%s\n--\n' "$errors"; fi
tail -n 40 <<<"$log" | tail -c 2400
