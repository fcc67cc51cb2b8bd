# Starts a job before Docker is there: its unit waits until the user may use Docker, and then runs the command. job.sh finds
# it running. Arguments as for job.sh.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
name=$1 user=$2
shift 2
dir=/opt/polis/.jobs/$name
if systemctl is-active --quiet "polis-$name.service"; then exit 0; fi
rm -rf -- "$dir"
mkdir -p -- "$dir"
# Who joins a group is in it from the next login on: the unit is root's, and each `sudo` is a login.
as="sudo -n -u $user"
sudo -n systemd-run --quiet --collect --unit="polis-$name" --working-directory=/opt/polis /bin/sh -c \
  "timeout 1800 sh -c 'until $as docker info; do sleep 1; done' >/dev/null 2>&1 && exec $as scripts/job.sh $dir $*"
