#!/usr/bin/env bash
# How much faster `check` judges the cloud-init file than cloud-init's own validator: the ratio of the two in one run.
#
# Needs cloud-init >= 24: installed, or unpacked in the directory that POLIS_CLOUD_INIT names (`cargo xtask ci` leaves one
# in target/parts/cloud-init/unpacked). Times the program itself, as built by `cargo xtask`, without shellcheck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

runs=20
file=cloud-init/cloud-init.yaml
unpacked=${POLIS_CLOUD_INIT:-target/parts/cloud-init/unpacked}
if [[ -d $unpacked ]]; then
    export PYTHONPATH="$unpacked/usr/lib/python3/dist-packages"
fi
official() { /usr/bin/python3 -m cloudinit.cmd.main schema --config-file "$file"; }
ours() { "${CARGO_TARGET_DIR:-target}/debug/xtask-check" --root . check --no-shell; }

cargo build --quiet --package xtask-check

# Milliseconds that one run takes, over all runs.
each() {
    "$1" >/dev/null 2>&1 || { echo "bench: $1 does not accept $file" >&2; exit 1; }
    local start end
    start=$(date +%s%N)
    for ((run = 0; run < runs; run++)); do "$1" >/dev/null 2>&1; done
    end=$(date +%s%N)
    echo $(((end - start) / runs / 10000))
}

theirs=$(each official)
mine=$(each ours)
printf 'cloud-init schema  %8.2f ms\n' "${theirs}e-2"
printf 'check              %8.2f ms\n' "${mine}e-2"
printf 'ratio              %8.1f\n' "$(((theirs * 10) / mine))e-1"
