#!/bin/bash
# The agents, inside the machine:
#
#   scripts/agents.sh layer all | none | same writes .env, which selects the agents in the stack, and the forwarder
#   scripts/agents.sh free NAME DIR           checks that the ports and paths of the agent in DIR are unused
#   scripts/agents.sh take NAME               makes room for the keys of an agent, and cancels its removal
#   scripts/agents.sh remove NAME [purge]     removes an agent, with its volumes if `purge`
#   scripts/agents.sh sweep                   removes files that the workspace's container no longer mounts
#   scripts/agents.sh prune                   removes the folders in bundles that no link points to
#   scripts/agents.sh state                   prints the states of the agents, as the workspace reports them
#   scripts/agents.sh ask COMMAND...          runs a command of polis-agents.sh in the workspace, if that runs
#
# agents/NAME is a link to a folder in bundles. A container that mounts it cannot start without it, so the files of a removed
# agent stay until the workspace is recreated without them; .agents-removed names it until then.
set -euo pipefail

readonly REMOVED=.agents-removed

cd "$(dirname "${BASH_SOURCE[0]}")/.."

removed() {
    grep -qE "^$1( |\$)" "$REMOVED" 2>/dev/null
}

# The names of the agents, one per line.
installed() {
    local link
    for link in agents/*; do
        if [[ -L $link ]] && ! removed "${link##*/}"; then printf '%s\n' "${link##*/}"; fi
    done
}

# The Compose file of an agent.
layer_of() {
    local file=agents/$1/.polis/compose.json
    [[ -e $file ]] || file=agents/$1/compose.yaml
    printf '%s\n' "$file"
}

# Later files take precedence, so the agent that requests the most memory comes last.
layer() {
    local files=docker-compose.yml names=() name memory
    for name in $(installed); do
        if [[ $1 == all ]] || { [[ $1 == same ]] && grep -q "[:=]agents/$name/" .env 2>/dev/null; }; then names+=("$name"); fi
    done
    while read -r memory name; do
        files+=:$(layer_of "$name")
    done < <(for name in "${names[@]}"; do
        memory=$(sed -n 's/^memory //p' "agents/$name/.polis/claims" 2>/dev/null || true)
        printf '%s %s\n' "${memory:-0}" "$name"
    done | sort -k 1,1n -k 2)
    files+=$(scripts/ports.sh overlay "${names[@]}")
    printf '# Written by polis.\nCOMPOSE_FILE=%s\n' "$files" >.env.new
    mv -fT -- .env.new .env
    if [[ $files != *:forward.json ]]; then rm -f -- forward.json; fi
}

free() {
    local name claimed
    [[ -e $2/.polis/claims ]] || return 0
    for name in $(installed); do
        if [[ $name == "$1" || ! -e agents/$name/.polis/claims ]]; then continue; fi
        claimed=$(grep -v '^memory ' "$2/.polis/claims" | grep -xFf - "agents/$name/.polis/claims" || true)
        if [[ -n $claimed ]]; then
            printf "the agent \`%s\` has %s already\n" "$name" "${claimed%%$'\n'*}" >&2
            return 1
        fi
    done
    for claimed in $(sed -n 's/^port //p' "$2/.polis/claims"); do
        if grep -q "^$claimed " ports 2>/dev/null; then
            printf 'port %s was opened before: polis port remove %s\n' "$claimed" "$claimed" >&2
            return 1
        fi
    done
}

# The workspace mounts the folder of the keys, even if there are none.
take() {
    if removed "$1"; then forget "$1"; fi
    sudo -n mkdir -p -m 0700 -- "agent-keys/$1"
}

# Removes an agent from the list of removed agents.
forget() {
    grep -vE "^$1( |\$)" "$REMOVED" >"$REMOVED.new" || true
    mv -fT -- "$REMOVED.new" "$REMOVED"
    if [[ ! -s $REMOVED ]]; then rm -f -- "$REMOVED"; fi
}

# Extends the list before deleting anything, so that the next run completes an interrupted one.
remove() {
    if removed "$1"; then forget "$1"; fi
    printf '%s\n' "$1${2:+ $2}" >>"$REMOVED"
    sudo -n rm -f -- "agent-keys/$1/env"
    if grep -q "[:=]agents/$1/" .env 2>/dev/null; then scripts/ports.sh apply; fi
    ask stop "$1" >/dev/null || true
    sweep
}

# Whether a container of the stack mounts files of an agent, and so cannot start without them.
mounted() {
    local ids
    ids=$(docker compose ps --all --quiet)
    if [[ -z $ids ]]; then return 1; fi
    # shellcheck disable=SC2086 # one word per container
    docker inspect --format '{{range .Mounts}}{{println .Source}}{{println .Destination}}{{end}}' $ids |
        grep -E "^(/opt|$PWD)/agents/$1(/|\$)" >/dev/null
}

sweep() {
    local name purge volume volumes
    if [[ ! -s $REMOVED ]]; then return 0; fi
    while read -r name purge; do
        if mounted "$name" </dev/null; then continue; fi
        volumes=$(sed -n 's/^ *"name": "\(polis-agent-[a-z0-9-]*\)",\{0,1\}$/\1/p' "agents/$name/.polis/compose.json" 2>/dev/null || true)
        if [[ -n $purge ]]; then
            for volume in $volumes; do
                if docker volume inspect "$volume" >/dev/null 2>&1; then docker volume rm "$volume" >/dev/null; fi
            done
        fi
        sudo -n rm -rf -- "agent-keys/$name"
        rm -f -- "agents/$name"
        forget "$name"
    done < <(cat -- "$REMOVED")
    prune
}

prune() {
    local old link used
    for old in bundles/*; do
        used=
        for link in bundle agents/*; do
            if [[ -L $link && $(readlink "$link") == *"${old##*/}" ]]; then used=yes; fi
        done
        if [[ -z $used ]]; then rm -rf -- "$old"; fi
    done
}

ask() {
    timeout 30 docker compose exec -T --user root --workdir / workspace polis-agents.sh "$@" </dev/null 2>/dev/null
}

# Limits the workspace's output, which must not pass for our own.
state() {
    local name names
    names=$(installed)
    if [[ -z $names ]]; then return 0; fi
    for name in $names; do
        printf 'ports %s %s\n' "$name" "$(sed -n 's/^port //p' "agents/$name/.polis/claims" 2>/dev/null | head -n 8 | tr '\n' ' ')"
        printf 'keys %s %.200s\n' "$name" "$(sudo -n cat -- "agent-keys/$name/env" 2>/dev/null | cut -d = -f 1 | tr '\n' ' ')"
    done
    ask state | head -c 1800 | cut -c 1-240 | sed 's/^/in /' || true
    echo
}

case ${1-} in
    layer) layer "$2" ;;
    free) free "$2" "$3" ;;
    take) take "$2" ;;
    remove) remove "$2" "${3-}" ;;
    sweep | prune) "$1" ;;
    state) state ;;
    ask) ask "${@:2}" ;;
    *)
        sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
        exit 64
        ;;
esac
