#!/bin/bash
# Creates the secrets of a stack, starts a server with them and the stack's own configuration, and prints the answer to each
# user of the ACL. Valkey's protocol and ACL are those of Redis 7, which Debian 12 has.
#
# Runs inside the namespaces of src/isolated.rs: only the server uses the port, and it ends with the script.
# ask.sh COMPOSE_FOLDER SCRATCH_FOLDER
set -euo pipefail

compose=$1
cd "$2"
ip link set lo up
mkdir -p scripts data
cp "$compose/scripts/generate-secrets.sh" scripts/
touch docker-compose.yml
scripts/generate-secrets.sh >/dev/null
sed -e "s#/etc/valkey/tls/#$PWD/certs/valkey/#" -e "s#/run/secrets/#$PWD/secrets/#" -e "s#^dir /data#dir $PWD/data#" \
    "$compose/config/state/valkey.conf" >valkey.conf
redis-server ./valkey.conf >server.log 2>&1 &

# as NAME_OF_PASSWORD USER COMMAND...: prints the answer on one line, an error as its first word.
as() {
    local answer name=$1 user=$2
    shift 2
    answer=$(REDISCLI_AUTH=$(<"secrets/valkey_${name}_password.txt") redis-cli -p 6379 --user "$user" \
        --no-auth-warning --tls --cacert certs/valkey/ca.crt --cert certs/valkey/client.crt \
        --key certs/valkey/client.key "$@" 2>&1) || true
    answer=${answer//$'\n'/ }
    [[ $answer == NOPERM* ]] && answer=NOPERM
    printf '%s: %s -> %s\n' "$user" "$*" "${answer% }"
}

for _ in {1..100}; do
    [[ $(as healthcheck healthcheck ping) == *PONG ]] && break
    sleep 0.05
done

# The DLP service blocks a request, a person approves it with polis-approve's commands, and toolbox sees both.
as reqmod governance-reqmod setex polis:blocked:req-00000001 3600 '{"destination":"example.org"}'
as reqmod governance-reqmod set polis:ott:OTT-1 req-00000001 NX EX 600
as reqmod governance-reqmod zadd polis:log:events 1 blocked
as mcp_agent mcp-agent get polis:blocked:req-00000001
as mcp_admin mcp-admin scan 0 MATCH 'polis:blocked:*' COUNT 100
as mcp_admin mcp-admin get polis:blocked:req-00000001
as mcp_admin mcp-admin zadd polis:log:events 2 approved
# MULTI and EXEC need the same connection: redis-cli reads the commands from a file.
printf '%s\n' multi 'del polis:blocked:req-00000001' 'setex polis:approved:req-00000001 300 approved' exec >transaction
as mcp_admin mcp-admin <transaction
as mcp_admin mcp-admin setex polis:approved:host:example.org 300 approved
as mcp_admin mcp-admin set polis:config:security_level strict
as mcp_admin mcp-admin set 'polis:config:auto_approve:*.example.org' allow
as mcp_agent mcp-agent get polis:approved:req-00000001
as mcp_agent mcp-agent zrevrange polis:log:events 0 9
as dlp dlp-reader get polis:config:security_level
as reqmod governance-reqmod get polis:approved:host:example.org

# Commands that would give more rights to the agent, or to anyone who can read its traffic.
as mcp_agent mcp-agent setex polis:approved:host:example.com 300 approved
as mcp_agent mcp-agent set polis:config:security_level relaxed
as dlp dlp-reader set polis:config:security_level relaxed
as reqmod governance-reqmod setex polis:approved:host:example.com 300 approved
as respmod governance-respmod set polis:config:security_level relaxed
as healthcheck healthcheck get polis:config:security_level
as mcp_admin mcp-admin config get dir
as mcp_admin mcp-admin flushall
as mcp_admin mcp-admin acl list
