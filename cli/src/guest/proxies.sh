# Replaces the proxies and certificate authorities of this machine; removes files that the archive lacks. Argument: the archive.
set -euo pipefail
umask 077
work=$(mktemp -d) || exit 10
trap 'code=$?; rm -rf -- "$work"; (( code == 0 )) || exit 10' EXIT
tar --extract --file="$1" --directory="$work"
rm -f -- "$1"

# put NAME PLACE MODE
put() {
  if [[ -f $work/$1 ]]; then
    sudo -n mkdir -p -m 0755 -- "${2%/*}"
    sudo -n install -m "$3" -o root -g root "$work/$1" "$2.new"
    sudo -n mv -fT -- "$2.new" "$2"
  else
    sudo -n rm -f -- "$2"
  fi
}

put apt.conf /etc/apt/apt.conf.d/90polis-proxy 0600
put docker.conf /etc/systemd/system/docker.service.d/polis-proxy.conf 0600
put proxy.env /etc/polis/proxy.env 0600
# The authorities from the user-data have cloud-init's file names.
trusted=/usr/local/share/ca-certificates
sudo -n mkdir -p -- "$trusted"
sudo -n rm -f -- "$trusted"/cloud-init-ca-cert*.crt "$trusted"/polis-*.crt
for ca in "$work"/polis-*.crt; do
  if [[ -f $ca ]]; then put "${ca##*/}" "$trusted/${ca##*/}" 0644; fi
done
sudo -n update-ca-certificates >/dev/null 2>&1
sudo -n systemctl daemon-reload
# The stack's unit stops before Docker and starts after it.
if systemctl is-active --quiet docker.service; then sudo -n systemctl restart docker.service; fi
# Last, because it marks the change as complete.
put proxy.revision /etc/polis/proxy.revision 0644
