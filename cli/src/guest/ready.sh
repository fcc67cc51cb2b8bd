# Records what was brought up whole: from now on the stack starts with the VM. Argument: what it is.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis
printf '%s\n' "$1" >.ready.new
sync .ready.new
mv -fT -- .ready.new .ready
# An active unit stops the stack in order at shutdown. Containers that merely went down with the VM would be restarted by
# Docker itself at the next boot, in no particular order.
sudo -n systemctl start polis.service
