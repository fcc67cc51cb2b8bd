# Sends signals to a user's command, in the VM or in a container. The command's processes have its mark in their environment; the
# oldest of them is the command. Processes that have left its session, such as a server or tmux, are meant to survive.
# Arguments: the mark, the signals.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
mark=$1 signals=("${@:2}")
found=$(for environ in $(sudo -n grep -lszxF -- "$mark" /proc/[0-9]*/environ); do
  pid=${environ//[!0-9]/}
  stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
  # After the last bracket, which ends the name: the state, the parent, the group, the session; the 20th field is the start time.
  set -- ${stat##*) }
  echo "${20} $pid $4"
done | sort -n)
read -r _ _ session <<<"$found"
pids=$(awk -v session="$session" '$3 == session { print $2 }' <<<"$found")
# The first signal may have ended them.
for signal in "${signals[@]}"; do
  if [[ -n $pids ]]; then sudo -n kill -s "$signal" -- $pids 2>/dev/null; fi
done
exit 0
