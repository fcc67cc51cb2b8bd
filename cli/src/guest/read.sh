# Prints a part of a file in base64, small enough for Windows: bytes that are no text do not come through as they are.
# Arguments: the file, the offset in bytes.
trap '(( $? == 0 )) || exit 10' EXIT
echo polis-read 1
tail -c "+$(($2 + 1))" -- "$1" | head -c 3000 | base64 --wrap=0
