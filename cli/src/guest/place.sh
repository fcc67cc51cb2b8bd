# Makes the folder of polis, which the provisioning makes too, but late: now something can be brought there.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
sudo -n mkdir -p /opt/polis
sudo -n chown "$(id -u):$(id -g)" /opt/polis
