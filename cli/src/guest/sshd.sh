# Runs in the workspace, as root: serves SSH on standard input and output, and lets the holder of one key log in as the user polis.
# Arguments: the two words of the public key, and the command that creates a host key.
#
# Neither the image's configuration nor a file that the agent can write determines who may log in. Nothing listens. Forwarding works
# only into the workspace, as editors need it, never from there to the host.
set -uo pipefail
PATH=$PATH:/usr/sbin
key=/root/.polis-ssh/host_key
if [[ ! -s $key ]]; then
  echo "this workspace has no SSH host key yet; hint: $3" >&2
  exit 20
fi
install -d -m 0755 /run/sshd || exit 20
# A password of `!` refuses keys too; nothing hashes to `*`.
if grep -q '^polis:!' /etc/shadow; then usermod -p '*' polis || exit 20; fi
# sshd starts with an empty environment: programs with their own list of CAs need these.
environment=()
for name in NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE SSL_CERT_FILE; do
  if [[ -n ${!name:-} ]]; then environment+=("$name=${!name}"); fi
done
"$(command -v sshd)" -i -e -f /dev/null -h "$key" \
  -o LogLevel=FATAL \
  -o AllowUsers=polis \
  -o AuthenticationMethods=publickey \
  -o AuthorizedKeysFile=none \
  -o "AuthorizedKeysCommand=/bin/echo $1 $2" \
  -o AuthorizedKeysCommandUser=root \
  -o AllowAgentForwarding=no \
  -o AllowTcpForwarding=local \
  -o AllowStreamLocalForwarding=local \
  -o "Subsystem=sftp internal-sftp" \
  -o "SetEnv=${environment[*]:-LANG=C.UTF-8}"
# sshd exits with 255 even for a connection that ended normally; that code would be stored in a file in the VM that is never read.
exit 0
