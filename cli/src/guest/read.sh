# Prints a part of a file in base64: bytes that are no text do not come through as they are. Arguments: the file, the offset
# and the size in bytes.
trap '(( $? == 0 )) || exit 10' EXIT
echo polis-read 1
tail -c "+$(($2 + 1))" -- "$1" | head -c "$3" | base64 --wrap=0
