# Prints the state of a job, the progress of a pull, and the end of its log. Argument: the name of the job.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
name=$1
echo polis-job 1
dir=/opt/polis/.jobs/$name
# Check whether it is running before whether it has ended: the other order could miss its end.
running=
if systemctl is-active --quiet "polis-$name.service"; then running=yes; fi
if [[ -f $dir/code ]]; then
  echo "ended $(cat "$dir/code")"
elif [[ -n $running ]]; then
  echo running
else
  echo lost
fi
# Prints the number of present images and of all images, of bytes received and expected, and of layers of unknown size. Compose
# prints these for images (`gate Pulling`) and layers (`3e731ddb7fc9 Downloading [=>  ]  1.2MB/4.3MB`); from version 5 on, it omits
# layers that have not started.
awk '
  function bytes(text) {
    return text * (text ~ /kB$/ ? 1e3 : text ~ /MB$/ ? 1e6 : text ~ /GB$/ ? 1e9 : text ~ /TB$/ ? 1e12 : 1)
  }
  $NF == "Pulling" { images[$(NF - 1)]; next }
  $NF == "Pulled" { here[$(NF - 1)]; next }
  length($1) != 12 || $1 ~ /[^0-9a-f]/ { next }
  $2 == "Pulling" { layers[$1] }
  $2 == "Downloading" && NF > 2 {
    layers[$1]
    count = split($NF, part, "/")
    if (bytes(part[1]) > done[$1]) done[$1] = bytes(part[1])
    if (count == 2) all[$1] = bytes(part[2])
  }
  / complete *$/ || $2 == "Already" {
    if ($1 in all) done[$1] = all[$1]
    else all[$1] = done[$1] + 0
  }
  END {
    for (name in images) of++
    for (name in here) pulled++
    for (layer in layers) {
      arrived += done[layer]
      if (layer in all) coming += all[layer]
      else { coming += done[layer]; unknown++ }
    }
    printf "pulled %d %d %.0f %.0f %d\n", pulled, of, arrived, coming, unknown
  }
' "$dir/log" 2>/dev/null || echo pulled
echo log
# Without the lines about layers, which do not explain why a pull failed.
grep -vE '^ [0-9a-f]{12} ' "$dir/log" 2>/dev/null | tail -n 12 | cut -c 1-200 || true
