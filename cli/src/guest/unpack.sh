# Runs in the workspace: unpacks the archive on standard input beside its destination, and renames the result. Arguments: the
# destination, and whether that has to be a directory. Exits with 0, or with 30 if the copy is inside that directory; otherwise with
# 20 (no such directory), 21 (not a directory), 22 (something is in the way) or 23, and prints the reason.
set -uo pipefail
fail() {
  printf '%s\n' "$2" >&2
  exit "$1"
}
place=$1 wanted=$2
if [[ -d $place ]]; then
  parent=${place%/} name=''
else
  parent=${place%/*} name=${place##*/}
fi
[[ -d $parent/ ]] || fail 20 "there is no directory $parent"
beside=$(mktemp -d -- "$parent/.polis-copy.XXXXXXXXXX") || exit 23
code=0
trap 'code=$?; chmod -R u+rwX -- "$beside"; rm -rf -- "$beside"; exit "$code"' EXIT
tar --extract --file=- --directory="$beside" --touch --no-same-owner --preserve-permissions \
  --delay-directory-restore || exit 23
shopt -s dotglob nullglob
made=("$beside"/*)
((${#made[@]} == 1)) || fail 23 'the archive is empty'
target=$parent/${name:-${made[0]##*/}}
if [[ -d ${made[0]} ]]; then
  # Only its owner may move a directory, and only if it is writable.
  mode=$(stat --format=%a -- "${made[0]}")
  chmod u+w -- "${made[0]}"
  [[ ! -e $target && ! -L $target ]] || fail 22 "$target exists already"
else
  mode=''
  [[ $wanted == any || -z $name ]] || fail 21 "$target is not a directory"
  [[ ! -L $target && (! -e $target || -f $target) ]] || fail 22 "$target already exists, and is not a file"
fi
mv -fT -- "${made[0]}" "$target" || exit 23
if [[ -n $mode ]]; then chmod -- "$mode" "$target"; fi
if [[ -z $name ]]; then exit 30; fi
