# Prints the state of the guest, one fact per line: a word, then its values. Changes nothing.
#
# The output must stay far below 4096 bytes: on Windows, a call that prints more never ends.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
exec 2>/dev/null
base=/opt/polis state=/var/lib/polis
echo polis-probe 1

echo "machine $(uname -m)"
echo "cloud-init $(cloud-init status | sed -n 's/^status: //p' | tr ' ' '-')"
if systemctl is-active --quiet polis-provision.service; then echo provisioning; fi
if [[ -f /usr/local/lib/polis/provision.sh ]]; then echo script; fi
if [[ -f $state/provision.json ]]; then
  echo "report $(sed -n 's/^  "status": "\([a-z]*\)".*/\1/p' $state/provision.json)"
fi
# The digests of the files that the provisioning wrote, as a single digest.
if [[ -f $state/provisioned.json ]]; then
  echo "marker $(sed -n 's/^ *"\(\/[^"]*\)": "\([0-9a-f]\{64\}\)".*/\2  \1/p' $state/provisioned.json |
    LC_ALL=C sort | sha256sum | cut -d ' ' -f 1)"
fi
# The last of the proxies' files to be written.
if [[ -f /etc/polis/proxy.revision ]]; then echo "proxies $(head -c 64 /etc/polis/proxy.revision)"; fi

cd $base || { echo end; exit 0; }
if [[ -L bundle ]]; then link=$(readlink bundle) && echo "bundle ${link##*/}"; fi
for link in agents/*; do
  name=${link##*/} kind=compose place=aside
  if [[ ! -L $link ]] || grep -qE "^$name( |\$)" .agents-removed; then continue; fi
  if [[ -e $link/.polis/agent.json ]]; then kind=manifest; fi
  if grep -q "[:=]agents/$name/" .env; then place=layered; fi
  target=$(readlink "$link")
  echo "agent $name ${target##*/} $kind $place"
done
if [[ -d certs/ca && -d certs/toolbox && -d certs/valkey && -d secrets ]]; then echo secrets; fi
if [[ -f .ready ]]; then echo "ready $(head -c 200 .ready)"; fi

# Docker may still be starting after a boot: without it, every image would appear to be missing.
docker_answers() {
  for _ in {1..20}; do
    if docker info; then return 0; fi
    sleep 1
  done >/dev/null
  return 1
}

# Used space and used inodes of the disk in percent, and its free bytes.
echo "disk $(df --output=pcent,ipcent,avail --block-size=1 / | tail -n 1 | tr -d '%')"

if [[ -L bundle ]] && ! docker_answers; then
  echo docker-down
elif [[ -L bundle ]]; then
  images=$(docker compose config --images | sort -u)
  total=$(wc -w <<<"$images") found=0
  if ((total > 0)); then
    found=$(docker image inspect --format '{{.Id}}' $images | grep -c .)
  fi
  echo "images $found $total"
  for service in $(docker compose config --services); do echo "expected $service"; done
  docker compose ps --all --format 'service|{{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}'
  if scripts/ports.sh differs; then echo ports-differ; fi
  why=$(scripts/stack.sh differs) && if [[ -n $why ]]; then echo "workspace-differs $why"; fi
fi
echo end
