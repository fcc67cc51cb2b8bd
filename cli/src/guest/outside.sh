# Prints what of the workspace lies outside its volumes, and would be gone with its container: how many files a folder
# has that the image has not, or has otherwise. The fullest folders first.
trap '(( $? == 0 )) || exit 10' EXIT
docker diff polis-workspace | awk '
  $2 ~ "^/(run|tmp|proc|sys|dev)(/|$)" { next }
  { split($2, part, "/"); folder = "/" part[2] (part[3] == "" ? "" : "/" part[3]); count[folder]++ }
  END { for (folder in count) print count[folder], folder }' | sort -k 1,1nr -k 2 | head -n 12 | cut -c 1-120
