# Records which stack has started completely: from now on, it starts with the VM. Argument: the stack's ID.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis
printf '%s\n' "$1" >.ready.new
sync .ready.new
mv -fT -- .ready.new .ready
# An active unit stops the stack in order at shutdown. Otherwise, Docker itself would restart the containers at the next boot, in
# no particular order.
sudo -n systemctl start polis.service
