# Runs the script of the agents. Arguments: as it says.
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis && scripts/agents.sh "$@"
