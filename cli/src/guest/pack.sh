# Runs in the workspace: prints a file or a directory as an archive. Argument: its path. Exits with 20 (it does not exist), 22 (it
# contains something that cannot be copied) or 23, and prints the reason.
set -uo pipefail
fail() {
  printf '%s\n' "$2" >&2
  exit "$1"
}
real=$(readlink -f -- "$1") && [[ -e $real ]] || fail 20 "there is no $1"
odd=$(find "$real" ! -type f ! -type d ! -type l -print -quit)
[[ -z $odd ]] || fail 22 "$odd is neither a file, a directory nor a link"
# This format's long names are the only extension that polis reads. Code 1 means that a file changed meanwhile.
tar --create --file=- --format=gnu --hard-dereference --directory="${real%/*}/" -- "${real##*/}"
(($? <= 1)) || exit 23
