#!/bin/sh
# Runs each fuzzer for SECONDS from a new seed. CI runs them for about a minute, from a fixed seed.
# usage: xtask/fuzz.sh [SECONDS [NAME]]     a failure names its seed and the file that holds its input
set -eu
export POLIS_FUZZ_SECONDS="${1:-600}" POLIS_FUZZ_SEED="${POLIS_FUZZ_SEED:-$(date +%s)}"
echo "seed $POLIS_FUZZ_SEED, $POLIS_FUZZ_SECONDS s for each target"
cargo test -p xtask --test fuzz -- --nocapture "${2:-}"
cargo test -p xtask-online --lib fuzz -- --nocapture "${2:-}"
