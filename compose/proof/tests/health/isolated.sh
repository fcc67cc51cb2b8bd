#!/bin/bash
# Gate's neighbours on one machine: a real c-icap at sentinel's address with one child of 20 threads, listeners on the ports of
# resolver and g3proxy, and the table of gate's rules. Prints the results of gate's health.sh.
#
# Runs inside the namespaces of src/isolated.rs, and its servers end with the script.
# isolated.sh HEALTH_SH
set -euo pipefail

health=$1
scratch=$(mktemp -d)
mount -t tmpfs none "$scratch"
cd "$scratch"

ip link set lo up
ip address add 10.30.1.5/32 dev lo
ip address add 10.30.1.10/32 dev lo
nft add table inet polis

# Two services with the names of ours. How they handle a body does not matter here, only that a thread does.
modules=$(dirname "$(find /usr/lib -name srv_echo.so -print -quit)")
cat >c-icap.conf <<CONF
PidFile $PWD/pid
CommandsSocket $PWD/socket
Port 10.30.1.5:1344
StartServers 1
MaxServers 1
ThreadsPerChild 20
KeepAliveTimeout 600
TmpDir $PWD
ServerLog $PWD/log
AccessLog /dev/null
ModulesDir $modules
ServicesDir $modules
Service echo srv_echo.so
ServiceAlias credcheck echo
ServiceAlias sentinel_respmod echo
CONF

serve() {
    python3 -c '
import socket, sys, threading
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
threading.Event().wait()' "$1" "$2" &
}

# Waits until the port is open.
await() {
    for _ in {1..100}; do
        (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null && return
        sleep 0.05
    done
}

check() {
    local code=0 said
    said=$(timeout 12 "$health" 2>&1) || code=$?
    printf '%s: code %d %s\n' "$1" "$code" "${said##*$'\n'}"
}

c-icap -N -D -f "$PWD/c-icap.conf" >out 2>&1 &
serve 10.30.1.10 53
serve 0.0.0.0 18080
await 10.30.1.5 1344
await 10.30.1.10 53
await 127.0.0.1 18080
check 'all is well'

# As many connections as threads, each kept open after an answer: g3proxy's pool without limits.
python3 -c '
import socket, threading
held = []
for _ in range(20):
    client = socket.create_connection(("10.30.1.5", 1344), 5)
    client.sendall(b"OPTIONS icap://10.30.1.5/credcheck ICAP/1.0\r\nHost: sentinel\r\n\r\n")
    client.recv(512)
    held.append(client)
print("held", flush=True)
threading.Event().wait()' >held &
holder=$!
until [[ -s held ]]; do sleep 0.05; done
(exec 3<>/dev/tcp/10.30.1.5/1344) && printf 'sentinel still accepts connections\n'
check 'all threads are taken'
kill "$holder"
sleep 0.5
check 'they are free again'

nft delete table inet polis
check 'the rules are gone' 2>&1
cd /
umount -l "$scratch"
rmdir "$scratch"
