# Installs an agent's keys, readable only by root, and restarts the agent if it is running. Arguments: the transferred file, the
# agent.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis
dir=agent-keys/$2
sudo -n install -m 0600 -o root -g root "$1" "$dir/env.new"
sudo -n mv -fT "$dir/env.new" "$dir/env"
rm -f -- "$1"
scripts/agents.sh ask restart "$2" >/dev/null || true
