#!/bin/bash
# Pulls the images of the stack, and brings it up. The CLI runs this detached, inside the machine:
#
#   scripts/stack.sh pull                         every image, by digest, with retries
#   scripts/stack.sh up [--recreate] [SERVICE...]  all services; the named ones are restarted first
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

up() {
    local recreate=()
    if [[ ${1-} == --recreate ]]; then
        recreate=(--force-recreate)
        shift
    fi
    # After a boot the unit is already bringing the stack up; two at once would be in each other's way.
    while [[ $(systemctl is-active polis.service) == activating ]]; do sleep 1; done
    if (($# > 0)); then docker compose restart "$@"; fi
    docker compose up --detach --no-build --remove-orphans "${recreate[@]}"
}

case ${1-} in
    pull) pull ;;
    up) up "${@:2}" ;;
    *)
        echo "usage: stack.sh pull | up [--recreate] [SERVICE...]" >&2
        exit 64
        ;;
esac
