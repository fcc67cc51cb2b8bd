# Puts an agent's keys in their place, for root alone, and has the agent restarted where it runs. Arguments: the file that
# was transferred, the agent.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis
dir=agent-keys/$2
sudo -n install -m 0600 -o root -g root "$1" "$dir/env.new"
sudo -n mv -fT "$dir/env.new" "$dir/env"
rm -f -- "$1"
scripts/agents.sh ask restart "$2" >/dev/null || true
