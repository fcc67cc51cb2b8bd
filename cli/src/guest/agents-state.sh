# Prints the states of the workspace's agents. The workspace reports them, and may print anything, so each of its lines is marked.
trap '(( $? == 0 )) || exit 10' EXIT
echo polis-agents 1
cd /opt/polis && scripts/agents.sh state
echo end
