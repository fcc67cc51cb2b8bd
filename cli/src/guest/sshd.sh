# Runs in the workspace, as root: speaks SSH on standard input and output, and lets the holder of one key in as the user
# polis. Arguments: the two words of the public key, and the command that makes a host key.
#
# Neither the image's configuration nor a file that the agent can write decides who may log in. Nothing listens. Forwarding
# goes into the workspace alone, as editors need it, never from there to the host.
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
# sshd starts with an empty environment: programs that bring their own CAs need these.
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
# Its own code is 255 for a connection that has ended well, too; that would stay in a file in the VM, which nobody reads.
exit 0
