#!/bin/bash
# The workspace's ports at the machine's address. Runs inside the machine:
#
#   scripts/ports.sh overlay NAME...     writes the forwarder's Compose file, with the ports of these agents and those of
#                                        the user; prints `:FILE` if there is a port
#   scripts/ports.sh apply               updates the forwarder, and nothing else, to the configured ports
#   scripts/ports.sh add PORT TARGET     opens a port for the user, which leads to TARGET in the workspace; exits with 12 if it
#                                        cannot be opened
#   scripts/ports.sh remove PORT         closes it
#   scripts/ports.sh list                prints the machine's address, the address with the ports, and each port
#   scripts/ports.sh differs             whether the forwarder's file is out of date
#   scripts/ports.sh boot                runs at boot before the containers: Docker starts none at an address that is gone
#
# The ports are bound to the machine's source address for the internet. If it changes, the next boot or the next
# `polis start` recreates the forwarder.
set -euo pipefail

# The user's own ports, writable only by root: PORT TARGET, one per line.
readonly OWN=ports OVERLAY=forward.json

cd "$(dirname "${BASH_SOURCE[0]}")/.."

own() {
    sed -nE 's/^([0-9]{4,5}) ([0-9]{1,5})$/\1 \2/p' "$OWN" 2>/dev/null || true
}

# The ports that an agent requests, in the same format.
asked_by() {
    sed -nE 's/^forward ([0-9]{4,5}) ([0-9]{4,5})$/\1 \2/p' "agents/$1/.polis/claims" 2>/dev/null || true
}

layered() {
    grep -oE '[:=]agents/[a-z0-9-]+/' .env 2>/dev/null | cut -d / -f 2 || true
}

# The machine's source address for the internet; this sends nothing.
address() {
    ip -4 route get 192.0.2.1 2>/dev/null | sed -nE 's/.* src ([0-9.]+).*/\1/p' || true
}

# The address in the forwarder's file.
bound() {
    sed -nE 's/.*"host_ip": "([0-9.]+)".*/\1/p' "$OVERLAY" 2>/dev/null | head -n 1
}

joined() {
    local all
    printf -v all '%s, ' "$@"
    printf '%s' "${all%, }"
}

# The forwarder's Compose file for these agents; empty if there is no port. It is built only from numbers, an address, and the
# image, which is that of host-init.
text() {
    local name port target words=() published=() address image
    while read -r port target; do
        words+=("\"$port:$target\"")
        published+=("{\"host_ip\": \"@\", \"published\": \"$port\", \"target\": $port, \"protocol\": \"tcp\"}")
    done < <({ for name; do asked_by "$name"; done && own; } | sort -n -u -k 1,1)
    if ((${#words[@]} == 0)); then return 0; fi
    address=$(address)
    if [[ -z $address ]]; then
        echo 'the machine has no way out, so it has no address for the ports' >&2
        return 0
    fi
    image=$(sed -n '/^  host-init:/,/^  [a-z]/s/^    image: //p' docker-compose.yml)
    if [[ -z $image ]]; then
        echo 'docker-compose.yml names no image of host-init' >&2
        return 1
    fi
    cat <<END
{
  "services": {
    "forward": {
      "image": "$image",
      "container_name": "polis-forward",
      "user": "65532:65532",
      "cap_drop": ["ALL"],
      "security_opt": ["no-new-privileges:true", "seccomp=./config/seccomp.json"],
      "read_only": true,
      "restart": "unless-stopped",
      "init": true,
      "sysctls": {
        "net.ipv4.ip_forward": "0",
        "net.ipv6.conf.all.disable_ipv6": "1",
        "net.ipv6.conf.default.disable_ipv6": "1"
      },
      "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
      "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "64m", "pids": 640}}},
      "dns": ["10.10.1.2"],
      "networks": {"internal-bridge": {"ipv4_address": "10.10.1.30"}, "forward-bridge": {}},
      "ports": [$(joined "${published[@]//@/$address}")],
      "command": ["forward", "--to", "workspace", "--within", "10.10.1.128/25", $(joined "${words[@]}")],
      "depends_on": {"workspace": {"condition": "service_started"}},
      "healthcheck": {
        "test": ["CMD", "/polis-init", "forward", "--check", $(joined "${words[@]}")],
        "interval": "30s", "timeout": "5s", "retries": 3, "start_period": "10s", "start_interval": "1s"
      }
    }
  },
  "networks": {
    "forward-bridge": {
      "driver": "bridge",
      "enable_ipv6": false,
      "driver_opts": {
        "com.docker.network.bridge.name": "polis-forward",
        "com.docker.network.bridge.enable_ip_masquerade": "false"
      }
    }
  }
}
END
}

overlay() {
    local text
    text=$(text "$@")
    if [[ -z $text ]]; then return 0; fi
    printf '%s\n' "$text" >"$OVERLAY.new"
    mv -fT -- "$OVERLAY.new" "$OVERLAY"
    printf ':%s' "$OVERLAY"
}

differs() {
    local names
    mapfile -t names < <(layered)
    [[ $(text "${names[@]}" 2>/dev/null) != "$(cat -- "$OVERLAY" 2>/dev/null)" ]]
}

# Removes the forwarder's container.
withdraw() {
    local id
    id=$(docker ps --all --quiet --filter 'name=^polis-forward$')
    if [[ -n $id ]]; then docker rm --force "$id" >/dev/null; fi
}

apply() {
    local network
    scripts/agents.sh layer same
    # A stack that has never been up gets its forwarder when it is started.
    if [[ -z $(docker compose ps --all --quiet workspace) ]]; then return 0; fi
    if [[ -e $OVERLAY ]]; then
        docker compose up --wait --wait-timeout 60 --no-deps --no-build forward
        return
    fi
    withdraw
    network=$(docker network ls --quiet --filter 'name=^polis_forward-bridge$')
    if [[ -n $network ]]; then docker network rm "$network" >/dev/null; fi
}

# Replaces the list of the user's ports by standard input.
write() {
    sudo -n install -m 0644 -o root -g root /dev/stdin "$OWN.new"
    sudo -n mv -fT -- "$OWN.new" "$OWN"
}

# A port that cannot be opened is removed from the list again.
add() {
    local before
    before=$(own)
    { own | grep -v "^$1 " || true; printf '%s %s\n' "$1" "$2"; } | write
    if scripts/ports.sh apply; then return 0; fi
    printf '%s\n' "$before" | write
    scripts/ports.sh apply || true
    return 12
}

remove() {
    { own | grep -v "^$1 " || true; } | write
    apply
}

boot() {
    local was
    was=$(bound)
    if ! differs; then return 0; fi
    scripts/agents.sh layer same
    if [[ $was != "$(bound)" ]]; then withdraw; fi
}

list() {
    local link name word
    printf 'address %s\nbound %s\n' "$(address)" "$(bound)"
    for link in agents/*; do
        name=${link##*/} word=closed
        if [[ ! -L $link ]] || grep -qE "^$name( |\$)" .agents-removed 2>/dev/null; then continue; fi
        if layered | grep -qxF -- "$name"; then word=open; fi
        asked_by "$name" | sed "s/^/port /; s/\$/ $word $name/"
    done
    own | sed 's/^/port /; s/$/ open/'
}

case ${1-} in
    overlay) overlay "${@:2}" ;;
    add) add "$2" "$3" ;;
    remove) remove "$2" ;;
    apply | list | differs | boot) "$1" ;;
    *)
        sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
        exit 64
        ;;
esac
