# Runs `scripts/ports.sh` with these arguments. Exits with 12 if a port cannot be opened.
trap 'code=$?; (( code == 0 || code == 12 )) || exit 10' EXIT
echo polis-ports 1
cd /opt/polis && scripts/ports.sh "$@" || exit
echo end
