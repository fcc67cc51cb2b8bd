# Runs the script of the ports. Arguments: as it says. Ends with 12 when a port cannot be opened.
trap 'code=$?; (( code == 0 || code == 12 )) || exit 10' EXIT
echo polis-ports 1
cd /opt/polis && scripts/ports.sh "$@" || exit
echo end
