# Makes an empty file for a transfer, which keeps its mode: nobody else may read what comes. Argument: the file.
trap '(( $? == 0 )) || exit 10' EXIT
umask 077
rm -f -- "$1" && : >"$1"
