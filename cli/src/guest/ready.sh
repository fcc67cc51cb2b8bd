# Records what was brought up whole: from now on the stack starts with the VM. Argument: what it is.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
cd /opt/polis
printf '%s\n' "$1" >.ready.new
sync .ready.new
mv -fT -- .ready.new .ready
# Active from now on, so that a shutdown stops the stack in its order. Docker would start again by itself, and in none, what
# merely went down with the VM.
sudo -n systemctl start polis.service
