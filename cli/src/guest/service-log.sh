# Prints the end of a service's log. Argument: the service.
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis && docker compose logs --no-color --no-log-prefix --tail 15 "$1" 2>&1 | cut -c 1-200 | tail -c 3000
