# Prints the volumes of the stack with their sizes, a line each. Docker measures by reading every folder, which takes as
# long as there are files: it gets ten seconds.
trap '(( $? == 0 )) || exit 10' EXIT
echo polis-volumes 1
timeout 10 docker system df --verbose --format '{{range .Volumes}}{{.Name}} {{.Size}}{{"\n"}}{{end}}' 2>/dev/null |
  grep '^polis_' | cut -c 1-80 | head -n 30
echo end
