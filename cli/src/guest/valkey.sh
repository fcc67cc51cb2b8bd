# Queries the stack's Valkey as its user mcp-admin, who approves and denies, and prints the answers of valkey-cli, in the format
# that quotes each string on one line. Arguments: the maximum number of bytes to print, the file for a longer answer, and the
# query:
#
#   list PATTERN       each key that matches, with its time to live in seconds and its value
#   events COUNT STEP  the newest events, STEP of them at a time
#   run COMMAND...     these commands, on one connection
#
# The agent can write these keys through toolbox. So keys, bytes, memory and time are bounded, and a truncated answer
# lacks its closing quote.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
most=$1 file=$2
shift 2
echo polis-valkey 1
if ! { cd /opt/polis && command -v docker && [[ -e docker-compose.yml ]]; } >/dev/null 2>&1; then
  echo no-stack
  exit 0
fi
# The container has neither grep nor sed. The password goes from its file to the environment, never to an argument.
# shellcheck disable=SC2016
inside='
IFS= read -r REDISCLI_AUTH </run/secrets/valkey_mcp_admin_password || exit 10
export REDISCLI_AUTH
cd /etc/valkey/tls || exit 10
ulimit -v 262144
talk() {
  timeout 10 valkey-cli --user mcp-admin --no-auth-warning --tls --cacert ca.crt --cert client.crt --key client.key "$@" 2>&1
}
list() {
  cursor=0 found=0 rounds=0
  while :; do
    page=$(echo "scan $cursor match $1 count 200" | talk | head -c 60000)
    {
      IFS= read -r cursor
      case $cursor in "" | *[!0-9]*) echo "(error) ${cursor:-no answer}"; return ;; esac
      while IFS= read -r key; do
        if [ -z "$key" ]; then continue; fi
        if [ "$found" -ge 250 ]; then echo more; return; fi
        found=$((found + 1))
        echo "key $key"
        printf "ttl %s\nget %s\n" "$key" "$key" | talk --no-raw | head -c 4100
        echo
      done
    } <<PAGE
$page
PAGE
    rounds=$((rounds + 1))
    if [ "$cursor" = 0 ]; then return; fi
    if [ "$rounds" -ge 200 ]; then echo more; return; fi
  done
}
events() {
  at=0
  while [ "$at" -lt "$1" ]; do
    echo "zrevrange polis:log:events $at $((at + $2 - 1)) withscores" | talk --no-raw | head -c $((4100 * $2))
    at=$((at + $2))
    echo
    echo part
  done
}
while [ $# -gt 0 ]; do
  case $1 in
    list) echo "list $2"; list "$2"; shift 2 ;;
    events) events "$2" "$3"; shift 3 ;;
    *) shift; echo run; printf "%s\n" "$@" | talk --no-raw | head -c 60000; break ;;
  esac
done
echo
echo end'
answer=$(timeout 300 docker compose exec -T state sh -c "$inside" sh "$@" </dev/null) || exit 10
answer="now $(date +%s)"$'\n'"$answer"
if ((${#answer} <= most)); then
  printf '%s\n' "$answer"
else
  mkdir -p -- "${file%/*}" && printf '%s\n' "$answer" >"$file" && echo in-file
fi
