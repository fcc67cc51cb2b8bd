# Installs a transferred archive: verifies it, unpacks it beside its destination, and switches over with one rename.
# Arguments: the archive, its SHA-256, and for an agent its name. Exits with 11 if the archive is damaged,
# with 12 if another agent already uses a port or path of this one.
set -euo pipefail
trap 'code=$?; (( code == 0 || code == 11 || code == 12 )) || exit 10' EXIT
archive=$1 digest=$2 agent=${3-}
cd /opt/polis
# One at a time: an earlier run that lost its caller may still be running.
exec 9<.
flock 9
if ! printf '%s  %s\n' "$digest" "$archive" | sha256sum --check --status; then
  rm -f -- "$archive"
  exit 11
fi

place=bundles/$digest
if [[ ! -d $place ]]; then
  rm -rf -- "$place.new"
  mkdir -p -- "$place.new"
  tar --extract --no-same-owner --preserve-permissions --file="$archive" --directory="$place.new"
  # Sync to the disk before anything points to it.
  find "$place.new" -type f -exec sync {} +
  mv -T -- "$place.new" "$place"
fi

# point NAME TARGET: creates a symbolic link, or replaces one with a single rename; never replaces a real file or directory.
point() {
  if [[ -e $1 && ! -L $1 ]]; then
    echo "/opt/polis/$1 is in the way: polis did not put it there" >&2
    return 1
  fi
  ln -sfnT -- "$2" "$1.new"
  mv -fT -- "$1.new" "$1"
}

if [[ -n $agent ]]; then
  mkdir -p agents
  scripts/agents.sh free "$agent" "$place" || { rm -f -- "$archive"; exit 12; }
  point "agents/$agent" "../$place"
  scripts/agents.sh take "$agent"
  scripts/agents.sh layer all
else
  # The names stay the same from one bundle to the next; only the target of `bundle` changes.
  for entry in "$place"/*; do point "${entry##*/}" "bundle/${entry##*/}"; done
  point bundle "$place"
  # The forwarder uses an image of the stack.
  if [[ -e forward.json ]]; then scripts/agents.sh layer same; fi
fi
rm -f -- "$archive"

scripts/agents.sh prune
