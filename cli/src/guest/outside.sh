# Prints what the workspace has outside its volumes, which is lost when its container is recreated: the size in bytes, and
# how many files were added, changed or deleted below each folder, most files first. Limits its run time and its output.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
exec 2>/dev/null
cd /opt/polis || exit 10
echo polis-outside 1
id=$(docker compose ps --all --quiet workspace)
if [[ -n $id ]]; then
  echo "bytes $(timeout 15 docker inspect --size --format '{{.SizeRw}}' "$id")"
  # `docker diff` lists a folder before its contents; the folder itself counts only if none of them follow. Skips files that systemd
  # writes at each boot.
  timeout 25 docker diff "$id" | cut -c 3- | awk '
    NR > 1 && index($0, last "/") != 1 { print last }
    { last = $0 }
    END { if (NR > 0) print last }' |
    grep -vE '^/(run|tmp|proc|sys|dev|var/log|var/tmp|sbin/docker-init)(/|$)' |
    cut -d / -f 1-3 | sort | uniq -c | sort -k 1,1nr -k 2 | head -n 12 |
    while read -r count folder; do echo "folder $count ${folder:0:80}"; done
  if ((PIPESTATUS[0] != 0)); then echo cut-off; fi
fi
echo end
