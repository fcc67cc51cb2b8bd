#!/bin/bash
# Installs, starts and watches the agents of the workspace.
#
#   polis-agents.sh run               the service: installs and starts each agent, then watches its health
#   polis-agents.sh state             prints a line for each: `NAME WORD`, then the last line of a log that explains it
#   polis-agents.sh restart | stop NAME
#   polis-agents.sh log NAME LINES [follow]
#
# /opt/agents/NAME is the user's agent, mounted read-only. Its .polis/boot says what to do, one KEY=VALUE per line. No error
# of an agent ends this script or stops the workspace.
# Assumes the image has bash, coreutils, grep, sed, systemctl and journalctl (systemd).
set -uo pipefail

readonly AGENTS=${POLIS_AGENTS:-/opt/agents} STATE=${POLIS_AGENTS_STATE:-/run/polis-agents}
readonly KEYS=${POLIS_AGENT_KEYS:-/run/polis-agent-keys} RUN=${POLIS_RUN:-/run}
readonly UNITS=${POLIS_UNITS:-/etc/systemd/system} PROGRAMS=${POLIS_PROGRAMS:-/usr/local/bin}

# The values of a key of an agent, one per line.
value() {
    sed -n "s/^$2=//p" "$AGENTS/$1/.polis/boot"
}

agents() {
    local boot name
    for boot in "$AGENTS"/*/.polis/boot; do
        name=${boot%/.polis/boot}
        if [[ -e $boot ]]; then printf '%s\n' "${name##*/}"; fi
    done
}

# note NAME FILE TEXT: writes TEXT for `state`, atomically.
note() {
    mkdir -p -- "$STATE/$1"
    printf '%s\n' "$3" >"$STATE/$1/$2.new"
    mv -f -- "$STATE/$1/$2.new" "$STATE/$1/$2"
}

failed() {
    note "$1" install "failed: $2"
    printf 'agents: %s: %s\n' "$1" "$2" >&2
}

install_agent() {
    local name=$1 dir=$AGENTS/$1 code=0 script volume
    note "$name" install running
    rm -f -- "$STATE/$name/health" "$STATE/$name/log"
    if [[ $(sha256sum <"$UNITS/$name.service" | cut -d ' ' -f 1) != "$(value "$name" unit)" ]]; then
        failed "$name" "the unit $name.service does not match the agent"
        return
    fi
    ln -sfT -- "$KEYS/$name/env" "$RUN/$name-env"
    # Docker creates a new volume owned by root.
    while read -r volume; do
        if [[ -z $(ls -A -- "$volume") ]]; then chown -- "$(value "$name" user):" "$volume"; fi
    done < <(value "$name" volume)
    for script in "$dir"/scripts/polis-*.sh; do
        if [[ -e $script ]]; then ln -sf -- "$script" "$PROGRAMS/"; fi
    done
    script=$(value "$name" install)
    if [[ -n $script ]]; then
        (cd -- "$dir" && exec bash -- "$script") >"$STATE/$name/log" 2>&1 </dev/null || code=$?
    fi
    if ((code != 0)); then
        failed "$name" "its install script failed with exit code $code"
        return
    fi
    note "$name" install ready
    # Never enabled: the unit would start before it is installed. Never waited for: an agent may take any time to start.
    systemctl start --no-block "$name.service" || failed "$name" "systemd did not start its unit"
}

# Checks the health of an agent, forever.
watch() {
    local name=$1 check timeout interval retries start begun=$SECONDS failures=0 well=''
    check=$(value "$name" health)
    [[ -n $check && $(<"$STATE/$name/install") == ready ]] || return 0
    timeout=$(value "$name" timeout) interval=$(value "$name" interval)
    retries=$(value "$name" retries) start=$(value "$name" start)
    while :; do
        if timeout -k 5 "$timeout" sh -c "$check" >/dev/null 2>&1 </dev/null; then
            well=1 failures=0
            note "$name" health healthy
        else
            failures=$((failures + 1))
            if [[ -z $well ]] && ((SECONDS - begun < start)); then failures=0; fi
            if ((failures >= retries && failures > 0)); then note "$name" health unhealthy; fi
        fi
        # Check an agent more often until it is first healthy.
        if [[ -n $well ]]; then sleep "$interval"; else sleep $((interval < 5 ? interval : 5)); fi
    done
}

run() {
    local name
    for name in $(agents); do note "$name" install waiting; done
    for name in $(agents); do install_agent "$name"; done
    for name in $(agents); do watch "$name" & done
    wait
}

# The state of an agent, as one word.
word() {
    local install active
    install=$(cat -- "$STATE/$1/install" 2>/dev/null || echo waiting)
    case $install in
        waiting | running) echo installing && return ;;
        failed*) echo install-failed && return ;;
    esac
    active=$(systemctl is-active "$1.service" || true)
    case $active in
        active) if [[ -n $(value "$1" health) ]]; then cat -- "$STATE/$1/health" 2>/dev/null || echo starting; else echo running; fi ;;
        activating | reloading) echo starting ;;
        failed) echo failed ;;
        *) echo stopped ;;
    esac
}

state() {
    local name word line
    for name in $(agents); do
        word=$(word "$name") line=''
        case $word in
            installing) line=$(tail -n 1 -- "$STATE/$name/log" 2>/dev/null) ;;
            install-failed) line=$(<"$STATE/$name/install") line=${line#failed: } ;;
            failed) line=$(journalctl --quiet --no-pager -o cat -n 1 -u "$name.service") ;;
        esac
        printf '%s %s %s\n' "$name" "$word" "${line:0:160}"
    done
}

# Installs an agent again if that failed, and then starts it.
restart() {
    local unit=$1.service
    if [[ $(cat -- "$STATE/$1/install" 2>/dev/null) != ready ]]; then unit=polis-agents.service; fi
    rm -f -- "$STATE/$1/health"
    systemctl restart --no-block "$unit"
}

log() {
    local log=$STATE/$1/log
    if [[ -e $log ]]; then tail -n "$2" -- "$log"; fi
    exec journalctl --quiet --no-pager -o cat -n "$2" ${3:+--follow} -u "$1.service"
}

case ${1-} in
    run) run ;;
    state) state ;;
    restart) restart "$2" ;;
    stop) systemctl stop "$2.service" ;;
    log) log "${@:2}" ;;
    *)
        sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
        exit 64
        ;;
esac
