# Prints a part of a file in base64, because binary output would be altered. Arguments: the file, the offset and the size in
# bytes.
trap '(( $? == 0 )) || exit 10' EXIT
echo polis-read 1
tail -c "+$(($2 + 1))" -- "$1" | head -c "$3" | base64 --wrap=0
