# Runs in the workspace, as root: creates the SSH host key if there is none, and prints its public half. It is on a volume, so it
# outlives the container. The image's own host keys are public, like the image.
set -uo pipefail
PATH=$PATH:/usr/sbin
if ! command -v sshd ssh-keygen >/dev/null; then
  echo 'the image of the workspace has no OpenSSH server' >&2
  exit 20
fi
umask 077
dir=/root/.polis-ssh
mkdir -p "$dir" || exit 20
if [[ ! -s $dir/host_key ]]; then
  rm -f "$dir/new" "$dir/new.pub"
  ssh-keygen -q -t ed25519 -N '' -C polis -f "$dir/new" </dev/null && mv "$dir/new" "$dir/host_key" || exit 20
fi
ssh-keygen -y -f "$dir/host_key"
