# Creates an empty file for a transfer, which keeps its mode, so that only root can read the contents. Argument: the file.
trap '(( $? == 0 )) || exit 10' EXIT
umask 077
rm -f -- "$1" && : >"$1"
