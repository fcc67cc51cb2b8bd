# Prints the facts that `status` shows in addition to the probe, one per line; leaves out unavailable ones. Changes nothing.
# Argument: a pattern for the keys of blocked requests.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
exec 2>/dev/null
echo polis-facts 1
echo "now $(date +%s)"
dpkg-query --show --showformat='package ${Package} ${Version}\n' docker-ce sysbox-ce
# The source address for the internet, by which the host reaches the VM; this sends no packet.
echo "address $(ip -4 route get 192.0.2.1 | sed -n 's/.* src \([0-9.]*\).*/\1/p')"
for name in ca/ca.pem toolbox/toolbox.pem valkey/ca.crt valkey/server.crt valkey/client.crt; do
  # Without the system's authorities, which openssl would load but not use.
  dates=$(SSL_CERT_FILE=/dev/null openssl x509 -noout -startdate -enddate -in "/opt/polis/certs/$name") || continue
  begin=${dates#*=} begin=${begin%%$'\n'*} end=${dates##*=}
  echo "certificate $name $(date -d "$begin" +%s) $(date -d "$end" +%s)"
done
# shellcheck disable=SC2016
inside='
IFS= read -r REDISCLI_AUTH </run/secrets/valkey_mcp_admin_password || exit 10
export REDISCLI_AUTH
cd /etc/valkey/tls || exit 10
exec valkey-cli --user mcp-admin --no-auth-warning --tls --cacert ca.crt --cert client.crt --key client.key --scan --pattern "$1"'
# The agent can create any number of them.
if waits=$(cd /opt/polis && timeout 10 docker compose exec -T state sh -c "$inside" sh "$1" </dev/null | head -c 60000) &&
  ! grep -qvE '^(polis:blocked:.*)?$' <<<"$waits"; then
  echo "pending $(grep -c . <<<"$waits")"
fi
echo end
