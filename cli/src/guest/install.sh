# Puts a transferred archive in its place: checked, unpacked beside, switched over in one rename.
# Arguments: the archive, its SHA-256, and for an agent its name. Ends with 11 when the archive is
# not what was sent, with 12 when another agent has what this one claims.
set -euo pipefail
trap 'code=$?; (( code == 0 || code == 11 || code == 12 )) || exit 10' EXIT
archive=$1 digest=$2 agent=${3-}
cd /opt/polis
# One at a time: an earlier run that lost its caller may still be at work.
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
  # On the disk before anything points to it.
  find "$place.new" -type f -exec sync {} +
  mv -T -- "$place.new" "$place"
fi

# point NAME TARGET: a symbolic link, replaced in one rename; never a real file or directory.
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
  # The names stay what they are from one bundle to the next; only where `bundle` points changes.
  for entry in "$place"/*; do point "${entry##*/}" "bundle/${entry##*/}"; done
  point bundle "$place"
  # The forwarder has its image from the stack.
  if [[ -e forward.json ]]; then scripts/agents.sh layer same; fi
fi
rm -f -- "$archive"

scripts/agents.sh prune
