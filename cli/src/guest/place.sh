# Creates the folder of polis. The provisioning does so too, but later, and files can be transferred already now.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
sudo -n mkdir -p /opt/polis
sudo -n chown "$(id -u):$(id -g)" /opt/polis
