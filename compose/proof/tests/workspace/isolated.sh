#!/bin/bash
# A machine on the internal network, like the workspace, with a CA that is mounted with a foreign owner. Runs the workspace's
# init.sh in it with the real update-ca-certificates, and prints the outcome.
#
# Runs inside the namespaces of src/isolated.rs: everything that it writes is on overlays that end with the script.
# isolated.sh INIT_SH well | deaf | ipv6 | again
set -euo pipefail

init=$1 case=$2

scratch=$(mktemp -d)
mount -t tmpfs none "$scratch"
for folder in /etc /usr/share/ca-certificates /usr/local/share; do
    layer=$scratch/${folder//\//-}
    mkdir -p "$layer"/{upper,work}
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$layer/upper,workdir=$layer/work" "$folder"
done

cd "$scratch"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=test -keyout ca.key -out ca.pem -days 1 \
    2>/dev/null
chown 65532:65532 ca.pem
chmod 0444 ca.pem
mkdir -p /usr/local/share/ca-certificates
touch /usr/local/share/ca-certificates/polis-ca.crt
mount --bind ca.pem /usr/local/share/ca-certificates/polis-ca.crt

ip link set lo up
ip link add eth0 type veth peer name other
ip link set other up
ipv6=1
[[ $case != ipv6 ]] || ipv6=0
sysctl -qw "net.ipv6.conf.all.disable_ipv6=$ipv6" "net.ipv6.conf.default.disable_ipv6=$ipv6"
ip address add 10.10.1.130/24 dev eth0
ip link set eth0 up

# The first run creates the route; the second one, which is checked, fails.
[[ $case != again ]] || ip route add default via 10.10.1.10
if [[ $case == deaf || $case == again ]]; then
    mkdir bin
    printf '#!/bin/sh\n' >bin/update-ca-certificates
    chmod 0755 bin/update-ca-certificates
    PATH=$PWD/bin:$PATH
fi

code=0
said=$(bash "$init" 2>&1) || code=$?
# Prints the error, or the last line if there is none.
[[ $said != *'workspace: error: '* ]] || said=${said##*workspace: error: } said=${said%%$'\n'*}
said=${said##*$'\n'}
trusted=no
[[ $(</etc/ssl/certs/ca-certificates.crt) != *"$(<ca.pem)"* ]] || trusted=yes
# Masks the addresses in an error, since the link's differs each time.
printf 'code %d, trusted %s, route %s\n%s\n' "$code" "$trusted" "$(ip -4 route show default)" "${said%%: [0f][0e]*}"
umount -l "$scratch"
rmdir "$scratch"
