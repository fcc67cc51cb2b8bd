# Removes an archive, and older ones that a killed polis left more than a day ago. Argument: the archive.
trap '(( $? == 0 )) || exit 10' EXIT
rm -f -- "$1"
find "${1%/*}" -mindepth 1 -maxdepth 1 -name '.polis-copy-*' -mmin +1440 -delete
