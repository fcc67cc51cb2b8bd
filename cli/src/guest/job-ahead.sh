# Starts a job before Docker is installed: its unit waits until the user may use Docker, and then runs the command. job.sh finds
# it running. Arguments as for job.sh.
#
# It also waits until the provisioning has downloaded Sysbox: images use more connections, and on a slow line they would not leave
# that download enough bandwidth to finish in time.
set -euo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
name=$1 user=$2
shift 2
dir=/opt/polis/.jobs/$name
if systemctl is-active --quiet "polis-$name.service"; then exit 0; fi
rm -rf -- "$dir"
mkdir -p -- "$dir"
sysbox="test -e /var/lib/polis/work/sysbox.deb || grep -q '^polis-provision: step sysbox done' /var/log/polis-provision.log"
# Membership in a group takes effect at the next login: the unit runs as root, and each `sudo` is a login.
as="sudo -n -u $user"
sudo -n systemd-run --quiet --collect --unit="polis-$name" --working-directory=/opt/polis /bin/sh -c \
  "timeout 1800 sh -c \"until { $sysbox; } && $as docker info; do sleep 1; done\" >/dev/null 2>&1 && exec $as scripts/job.sh $dir $*"
