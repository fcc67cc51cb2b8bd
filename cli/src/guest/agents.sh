# Runs `scripts/agents.sh` with these arguments.
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis && scripts/agents.sh "$@"
