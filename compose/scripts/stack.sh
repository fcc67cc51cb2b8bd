#!/bin/bash
# Pulls the images of the stack, and brings it up. The CLI runs this detached, inside the machine:
#
#   scripts/stack.sh pull                         every image, by digest, with retries
#   scripts/stack.sh up [--recreate] [SERVICE...]  all services; the named ones are restarted first
#   scripts/stack.sh recreate-workspace           the workspace's container, from its image
#
# The workspace's container is the agent's machine: what was installed there lies in it. So `up` never makes it anew,
# however much has changed. Mounted files have their new content after a restart.
#
# The compose file in the working directory's parent of this script is used, with what .env layers on it.
set -euo pipefail

readonly ATTEMPTS=4
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
        docker compose pull || status=$?
        # Compose forgives a failed pull of an image that has a build section; the machine cannot build it.
        absent=$(missing)
        [[ $status -ne 0 || -n $absent ]] || return 0
        ((attempt < ATTEMPTS)) || break
        printf 'stack: attempt %d of %d failed, again in %d s\n' "$attempt" "$ATTEMPTS" "$PAUSE"
        sleep "$PAUSE"
        PAUSE=$((PAUSE * 3))
    done
    printf 'stack: not pulled: %s\n' "${absent:-docker compose pull ended with $status}"
    return 1
}

# After a boot the unit is already bringing the stack up; two at once would be in each other's way.
await_boot() {
    while [[ $(systemctl is-active polis.service) == activating ]]; do sleep 1; done
}

up() {
    local recreate='' workspace others
    if [[ ${1-} == --recreate ]]; then
        recreate=1
        shift
    fi
    await_boot
    if (($# > 0)); then docker compose restart "$@"; fi
    # The others first, not started: from here on nothing has to be made anew, and the order is Compose's.
    mapfile -t others < <(docker compose config --services | grep -vxF workspace)
    docker compose up --no-start --no-deps --no-build ${recreate:+--force-recreate} "${others[@]}"
    # Whether the workspace is there already, and has to see what is mounted now.
    workspace=$(docker compose ps --all --format '{{.Service}}' | grep -xF workspace || true)
    docker compose up --detach --no-build --no-recreate --remove-orphans
    if [[ -n $recreate && -n $workspace ]]; then
        # Last, when its way out is there.
        docker compose up --detach --no-build --no-recreate --wait gate
        docker compose restart workspace
    fi
}

recreate_workspace() {
    await_boot
    docker compose up --detach --no-build --no-deps --force-recreate workspace
}

case ${1-} in
    pull) pull ;;
    up) up "${@:2}" ;;
    recreate-workspace) recreate_workspace ;;
    *)
        echo "usage: stack.sh pull | up [--recreate] [SERVICE...] | recreate-workspace" >&2
        exit 64
        ;;
esac
