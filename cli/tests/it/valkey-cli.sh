#!/bin/bash
# A fake valkey-cli for a directory guest; it supports only the commands of our script. A key is a file in the folder `valkey`,
# with its time to live in seconds and its value, in the format of `--no-raw`. The stage `first` shows how a real Valkey handles
# the same commands, and what our ACL permits.
set -uo pipefail
root=$(dirname "$0")/../../..
data=$root/var/lib/docker/valkey
mkdir -p "$data"
if [[ ${REDISCLI_AUTH-} != "$(<"$root/opt/polis/secrets/valkey_mcp_admin_password.txt")" ]]; then
  echo 'AUTH failed: WRONGPASS invalid username-password pair or user is disabled.'
  exit 0
fi
if [[ ! -e ca.crt || ! -e client.key || "$*" != '--user mcp-admin '*' --key client.key'* ]]; then
  echo "Could not connect to Valkey at 127.0.0.1:6379: $*"
  exit 1
fi
if [[ "$*" == *' --scan --pattern '* ]]; then
  for key in "$data"/*; do
    # shellcheck disable=SC2053
    if [[ -f $key && ${key##*/} == ${!#} ]]; then echo "${key##*/}"; fi
  done
  exit 0
fi
queue=()

# Prints the reply to a command.
answer() {
  local key=$data/${2-}
  case $1 in
    scan)
      echo 0
      for key in "$data"/*; do
        # shellcheck disable=SC2053
        if [[ -f $key && ${key##*/} == $4 ]]; then echo "${key##*/}"; fi
      done
      ;;
    ttl) if [[ -f $key ]]; then echo "(integer) $(head -n 1 "$key")"; else echo '(integer) -2'; fi ;;
    get) if [[ -f $key ]]; then tail -n +2 "$key"; else echo '(nil)'; fi ;;
    setex) printf '%s\n"%s"\n' "$3" "$4" >"$key" && echo OK ;;
    set) printf -- '-1\n"%s"\n' "$3" >"$key" && echo OK ;;
    del)
      shift
      count=0
      for key; do if rm "$data/$key" 2>/dev/null; then count=$((count + 1)); fi; done
      echo "(integer) $count"
      ;;
    zadd)
      shift 3
      member=$*
      member=${member#\'} member=${member%\'}
      printf '"%s"\n"17"\n' "${member//\"/\\\"}" | cat - "$root/var/lib/docker/events" >"$root/events.new" 2>/dev/null
      mv "$root/events.new" "$root/var/lib/docker/events"
      echo '(integer) 1'
      ;;
    zcard) echo "(integer) $(($(wc -l <"$root/var/lib/docker/events") / 2))" ;;
    zrevrange) tail -n "+$(($3 * 2 + 1))" "$root/var/lib/docker/events" | head -n "$((($4 - $3 + 1) * 2))" | nl -s ') ' ;;
    *) echo "(error) NOPERM User mcp-admin has no permissions to run the '$1' command" ;;
  esac
}

touch "$root/var/lib/docker/events"
multi=
while read -r line; do
  read -ra words <<<"$line"
  case ${words[0]} in
    multi) multi=yes && echo OK ;;
    exec) for line in "${queue[@]}"; do read -ra words <<<"$line" && answer "${words[@]}"; done | nl -s ') ' ;;
    *) if [[ -n $multi ]]; then queue+=("$line") && echo QUEUED; else answer "${words[@]}"; fi ;;
  esac
done
