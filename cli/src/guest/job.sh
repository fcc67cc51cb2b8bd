# Starts a long command detached from this call, so that a lost connection does not end it. Does nothing if it is already
# running. Arguments: the name of the job, the user, the command.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
name=$1 user=$2
shift 2
dir=/opt/polis/.jobs/$name
if systemctl is-active --quiet "polis-$name.service"; then exit 0; fi
rm -rf -- "$dir"
mkdir -p -- "$dir"
sudo -n systemd-run --quiet --collect --unit="polis-$name" --uid="$user" --working-directory=/opt/polis \
  /opt/polis/scripts/job.sh "$dir" "$@"
