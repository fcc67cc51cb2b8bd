#!/bin/bash
# Pulls the images of the stack, and starts it. The CLI runs this detached, inside the machine:
#
#   scripts/stack.sh pull                       every image, by digest, with retries
#   scripts/stack.sh up [FLAG...] [SERVICE...]  all services; the named ones are restarted first
#       --recreate             recreates all services but the workspace, because mounted files have changed
#       --recreate-workspace   recreates the workspace, if it differs from its definition
#   scripts/stack.sh differs                    prints how the workspace differs from its definition, if it does
#
# The workspace's container is the agent's machine, with everything that the agent installed. So only --recreate-workspace
# ever recreates it, however much has changed. A restart is enough to show it new content of mounted files.
#
# The script works in the parent of its directory, with the compose file there and the files that .env layers on it.
set -euo pipefail

readonly ATTEMPTS=4
readonly LEFT=.left-networks
PAUSE=5

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The images that are missing, one per line.
missing() {
    local image
    for image in $(docker compose config --images | sort -u); do
        docker image inspect --format '{{.Id}}' "$image" >/dev/null 2>&1 || printf '%s\n' "$image"
    done
}

# Docker's process ID, which changes when it restarts.
engine() {
    systemctl show --property=MainPID --value docker.service
}

# Waits for Docker for at most two minutes. Installing Sysbox may restart it.
await_docker() {
    local left
    for ((left = 120; left > 0; left--)); do
        if docker info >/dev/null 2>&1; then return; fi
        sleep 1
    done
}

pull() {
    local attempt status absent engine
    for ((attempt = 1; ; attempt++)); do
        status=0
        await_docker
        engine=$(engine)
        docker compose pull 2>&1 | tee .pull.log || status=$?
        # Compose ignores a failed pull of an image that has a build section; the machine cannot build it.
        absent=$(missing)
        [[ $status -ne 0 || -n $absent ]] || return 0
        # Content that does not match its digest will not match at the next attempt either.
        if grep -qE 'failed to verify|verification failed' .pull.log; then break; fi
        ((attempt < ATTEMPTS)) || break
        # If Docker restarted, the registry is not at fault, so there is no need to wait before the next attempt.
        if [[ $(engine) != "$engine" ]]; then continue; fi
        printf 'stack: attempt %d of %d failed, again in %d s\n' "$attempt" "$ATTEMPTS" "$PAUSE"
        sleep "$PAUSE"
        PAUSE=$((PAUSE * 3))
    done
    printf 'stack: not pulled: %s\n' "${absent:-docker compose pull ended with $status}"
    return 1
}

# The ID of the workspace's container, whether or not it is running; empty if there is none.
workspace() {
    docker compose ps --all --quiet workspace
}

# Prints `image` or `definition` if Compose would now create the workspace's container from a different one.
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

# The networks of a container, one per line.
networks_of() {
    docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$1"
}

# Compose recreates a network whose definition has changed, which is impossible while the workspace is on it. So the workspace
# leaves such a network, and join_networks reconnects it afterwards. The file $LEFT survives a start that is interrupted in
# between.
leave_networks() {
    local network networks joined plan
    joined=$(networks_of "$1")
    # `--no-start`: networks are replaced before anything starts, and a dry run cannot wait for the health of a container that
    # was created but never started, which an interrupted start leaves behind.
    if ! plan=$(docker compose --dry-run up --no-start --no-build --no-recreate 2>&1); then
        printf '%s\n' "$plan"
        return 1
    fi
    networks=$(sed -n 's/.*Network "\{0,1\}\([^ "]*\)"\{0,1\}  *Removed.*/\1/p' <<<"$plan")
    for network in $networks; do
        grep --quiet --line-regexp --fixed-strings -- "$network" <<<"$joined" || continue
        printf '%s\n' "$network" >>"$LEFT"
        docker network disconnect --force "$network" "$1"
    done
}

join_networks() {
    local network joined
    [[ -f $LEFT ]] || return 0
    joined=$(networks_of "$1")
    while read -r network; do
        # An interrupted start may have recorded a network that the workspace never left.
        if grep --quiet --line-regexp --fixed-strings -- "$network" <<<"$joined"; then continue; fi
        docker network connect --alias workspace "$network" "$1"
    done < <(sort -u -- "$LEFT")
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
    # After a boot the unit is already starting the stack; two concurrent starts would interfere.
    while [[ $(systemctl is-active polis.service) == activating ]]; do sleep 1; done
    if [[ -n $renew && -z $(differs) ]]; then renew=''; fi
    for service; do
        # A workspace that is about to be recreated may be unable to start in its current form.
        if [[ -z $renew || $service != workspace ]]; then docker compose restart "$service"; fi
    done
    id=$(workspace)
    if [[ -n $id ]]; then leave_networks "$id"; fi
    services=$(docker compose config --services)
    mapfile -t others < <(grep --line-regexp --fixed-strings --invert-match workspace <<<"$services")
    # Containers are created first and started afterwards: then nothing is left to recreate, and Compose starts them in order,
    # the workspace last, when its way out is healthy.
    docker compose up --no-start --no-deps --no-build ${recreate:+--force-recreate} "${others[@]}"
    if [[ -n $renew ]]; then
        # Include its dependencies, which are up to date. Otherwise, some versions of Compose label the container as having no
        # dependencies, and it would differ from its definition forever.
        docker compose up --no-start --no-build --force-recreate workspace
        rm -f -- "$LEFT"
    elif [[ -n $id ]]; then
        join_networks "$id"
        # A workspace that differs is left alone: its mounts may be gone.
        if [[ -n $recreate && -z $(differs) && -n $(docker compose ps --quiet workspace) ]]; then again=1; fi
    fi
    docker compose up --detach --no-build --no-recreate --remove-orphans
    if [[ -n $again ]]; then docker compose restart workspace; fi
    scripts/agents.sh sweep
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
