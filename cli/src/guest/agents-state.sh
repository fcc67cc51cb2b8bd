# Prints how the agents are that the workspace runs: what it says itself, each line marked, since it can say anything.
trap '(( $? == 0 )) || exit 10' EXIT
echo polis-agents 1
cd /opt/polis && scripts/agents.sh state
echo end
