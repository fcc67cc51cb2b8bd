# Prints how a job is and the end of its log. Argument: the name of the job.
set -uo pipefail
trap '(( $? == 0 )) || exit 10' EXIT
name=$1
echo polis-job 1
dir=/opt/polis/.jobs/$name
# First whether it runs, then whether it has ended: the other way round its end could be missed.
running=
if systemctl is-active --quiet "polis-$name.service"; then running=yes; fi
if [[ -f $dir/code ]]; then
  echo "ended $(cat "$dir/code")"
elif [[ -n $running ]]; then
  echo running
else
  echo lost
fi
echo "pulled $(grep -c ' Pulled' "$dir/log" 2>/dev/null || true)"
echo log
tail -n 12 "$dir/log" 2>/dev/null | cut -c 1-200 || true
