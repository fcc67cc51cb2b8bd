# Prints the progress of the provisioning: its steps, and the last line of its log.
log=/var/log/polis-provision.log
grep '^polis-provision: step ' "$log" 2>/dev/null | tail -n 14 | cut -c 1-120
tail -n 1 "$log" 2>/dev/null | cut -c 1-200
exit 0
