#!/bin/bash
# Pulls the images of the stack, and brings it up. The CLI runs this detached, inside the machine:
#
#   scripts/stack.sh pull                     every image, by digest, with retries
#   scripts/stack.sh up [FLAG...] [SERVICE...]  all services; the named ones are restarted first
#       --recreate             recreates all but the workspace: what is mounted has changed
#       --recreate-workspace   recreates the workspace, if it differs from its definition
#   scripts/stack.sh differs                  prints why the workspace differs from its definition, if it does
#
# The workspace's container is the agent's machine: what was installed there lies in it. So nothing but
# --recreate-workspace ever recreates it, however much has changed. Files that are mounted have their new content after
# a restart.
#
# The compose file in the working directory's parent of this script is used, with what .env layers on it.
set -euo pipefail

readonly ATTEMPTS=4
readonly LEFT=.left-networks
PAUSE=5

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The images that are not here, one a line.
missing() {
    local image
    for image in $(docker compose config --images | sort -u); do
        docker image inspect --format '{{.Id}}' "$image" >/dev/null 2>&1 || printf '%s\n' "$image"
    done
}

pull() {
    local attempt status absent
    for ((attempt = 1; ; attempt++)); do
        status=0
        docker compose pull 2>&1 | tee .pull.log || status=$?
        # Compose forgives a failed pull of an image that has a build section; the machine cannot build it.
        absent=$(missing)
        [[ $status -ne 0 || -n $absent ]] || return 0
        # Bytes that are not what was pinned are no accident of the network.
        if grep -qE 'failed to verify|verification failed' .pull.log; then break; fi
        ((attempt < ATTEMPTS)) || break
        printf 'stack: attempt %d of %d failed, again in %d s\n' "$attempt" "$ATTEMPTS" "$PAUSE"
        sleep "$PAUSE"
        PAUSE=$((PAUSE * 3))
    done
    printf 'stack: not pulled: %s\n' "${absent:-docker compose pull ended with $status}"
    return 1
}

# The ID of the workspace's container, whether it runs or not; nothing where there is none.
workspace() {
    docker compose ps --all --quiet workspace
}

# Prints `image` or `definition`, where the workspace's container was made from another one than it would be now.
differs() {
    local id have want images
    id=$(workspace)
    [[ -n $id ]] || return 0
    images=$(docker compose config --images)
    have=$(docker inspect --format '{{.Config.Image}}' "$id")
    want=$(docker image inspect --format '{{.Id}}' "$have" 2>/dev/null || true)
    if ! grep --quiet --line-regexp --fixed-strings -- "$have" <<<"$images" ||
        [[ -n $want && $want != $(docker inspect --format '{{.Image}}' "$id") ]]; then
        echo image
        return
    fi
    have=$(docker inspect --format '{{index .Config.Labels "com.docker.compose.config-hash"}}' "$id")
    want=$(docker compose config --hash workspace)
    [[ $want == "workspace $have" ]] || echo definition
}

# Compose removes a network whose definition has changed, and cannot while the workspace is on it. So the workspace
# leaves such a network for the time being; it joins again what it was on, and nothing else. The note outlasts a start
# that is cut off here.
leave_networks() {
    local network networks joined
    joined=$(docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$1")
    networks=$(docker compose --dry-run up --detach --no-build --no-recreate 2>&1 |
        sed -n 's/.*Network "\{0,1\}\([^ "]*\)"\{0,1\}  *Removed.*/\1/p')
    for network in $networks; do
        grep --quiet --line-regexp --fixed-strings -- "$network" <<<"$joined" || continue
        printf '%s\n' "$network" >>"$LEFT"
        docker network disconnect --force "$network" "$1"
    done
}

join_networks() {
    local network
    [[ -f $LEFT ]] || return 0
    while read -r network; do
        docker network connect --alias workspace "$network" "$1" || true
    done <"$LEFT"
    rm -f -- "$LEFT"
}

up() {
    local recreate='' renew='' service id services others again=''
    while [[ ${1-} == --* ]]; do
        case $1 in
            --recreate) recreate=1 ;;
            --recreate-workspace) renew=1 ;;
            *) usage ;;
        esac
        shift
    done
    # After a boot the unit is already bringing the stack up; two at once would be in each other's way.
    while [[ $(systemctl is-active polis.service) == activating ]]; do sleep 1; done
    if [[ -n $renew && -z $(differs) ]]; then renew=''; fi
    for service; do
        # One that is recreated need not be able to start as it is.
        if [[ -z $renew || $service != workspace ]]; then docker compose restart "$service"; fi
    done
    id=$(workspace)
    if [[ -n $id ]]; then leave_networks "$id"; fi
    services=$(docker compose config --services)
    mapfile -t others < <(grep --line-regexp --fixed-strings --invert-match workspace <<<"$services")
    # Made first and started afterwards: from then on nothing has to be recreated, and the order is Compose's. It starts
    # the workspace last, when its way out is healthy.
    docker compose up --no-start --no-deps --no-build ${recreate:+--force-recreate} "${others[@]}"
    if [[ -n $renew ]]; then
        docker compose up --no-start --no-deps --no-build --force-recreate workspace
        rm -f -- "$LEFT"
    elif [[ -n $id ]]; then
        join_networks "$id"
        # One that differs is left alone: what it mounts may be gone.
        if [[ -n $recreate && -z $(differs) && -n $(docker compose ps --quiet workspace) ]]; then again=1; fi
    fi
    docker compose up --detach --no-build --no-recreate --remove-orphans
    if [[ -n $again ]]; then docker compose restart workspace; fi
}

usage() {
    echo "usage: stack.sh pull | up [--recreate] [--recreate-workspace] [SERVICE...] | differs" >&2
    exit 64
}

case ${1-} in
    pull) pull ;;
    up) up "${@:2}" ;;
    differs) differs ;;
    *) usage ;;
esac
