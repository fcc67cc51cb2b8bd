#!/bin/sh
# Health check of state: a PING over TLS, like a real client, as the user that may do nothing else.
#
# The password is passed in the environment: every process of the container could read an argument.
# Assumes the image has sh and valkey-cli.
set -eu

IFS= read -r REDISCLI_AUTH </run/secrets/valkey_healthcheck_password
export REDISCLI_AUTH
answer=$(valkey-cli -h 127.0.0.1 -p 6379 --user healthcheck --no-auth-warning --tls \
    --cacert /etc/valkey/tls/ca.crt --cert /etc/valkey/tls/client.crt --key /etc/valkey/tls/client.key ping)
[ "$answer" = PONG ]
