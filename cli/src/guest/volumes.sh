# Prints the stack's volumes with their sizes in bytes, one per line; `-` if measuring took too long. `docker system df`
# would also measure every image and container, so this measures the volumes' folders, for at most ten seconds.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
exec 2>/dev/null
echo polis-volumes 1
volumes=$(docker volume ls --filter label=com.docker.compose.project=polis \
  --format '{{.Label "com.docker.compose.volume"}} {{.Mountpoint}}' | head -n 20)
end=$((SECONDS + 10))
while read -r name place; do
  left=$((end - SECONDS)) size=-
  if [[ -n $name ]] && ((left > 0)); then
    size=$(sudo -n timeout "$left" du --summarize --block-size=1 -- "$place" | cut -f 1)
  fi
  if [[ -n $name ]]; then echo "${name:0:60} ${size:--}"; fi
done <<<"$volumes"
echo end
