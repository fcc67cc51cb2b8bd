#!/usr/bin/env bash
# How long `verify-pins --offline` takes on this tree, and on trees of 2,000 to 8,000 services and 500 to 2,000 workflows:
# twice the tree must take twice the time. Not a test: it says what it measured.
#
#   cargo build -p xtask && xtask/bench.sh target/debug/xtask
set -euo pipefail

program=$(realpath -- "${1:?which xtask}")
root=$(cd -- "$(dirname -- "$0")/.." && pwd)
work=$(mktemp --directory)
trap 'rm -rf -- "$work"' EXIT

# The best of five runs, in milliseconds of the processor: what else runs here counts for nothing.
measure() {
  local best=999999 took
  local TIMEFORMAT='%3U %3S'
  for _ in 1 2 3 4 5; do
    took=$({ time "$program" verify-pins --offline --root "$1" --format json >/dev/null 2>&1 || [[ $? == 1 ]]; } 2>&1)
    took=$(awk '{ printf "%d", ($1 + $2) * 1000 }' <<<"$took")
    if ((took < best)); then best=$took; fi
  done
  echo "$2: $best ms"
}

# A tree with $1 services, each of its own image, and a quarter as many workflows.
tree() {
  local dir=$work/$1 digest commit
  digest=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  commit=de0fac2e4500dabe0009e67214ff5f5447ce83dd
  mkdir -p "$dir/.github/workflows" "$dir/compose" "$dir/cloud-init"
  cp "$root/cloud-init/cloud-init.yaml" "$dir/cloud-init/"
  cp "$root/rust-toolchain.toml" "$dir/"
  printf 'version: 1\nwaivers: []\n' >"$dir/compose/pin-waivers.yaml"
  {
    echo 'services:'
    for ((i = 0; i < $1; i++)); do
      printf '  s%d:\n    image: v.example/s%d:v1@sha256:%s\n    restart: always\n' "$i" "$i" "$digest"
    done
  } >"$dir/compose/docker-compose.yml"
  for ((i = 0; i < $1 / 4; i++)); do
    printf 'jobs:\n  a:\n    steps:\n      - uses: o/r@%s # v1.2.3\n      - run: docker pull v.example/s%d:v1@sha256:%s\n' \
      "$commit" "$i" "$digest" >"$dir/.github/workflows/w$i.yml"
  done
}

measure "$root" 'this tree'
for services in 2000 4000 8000; do
  tree "$services"
  measure "$work/$services" "$services services, $((services / 4)) workflows"
done
