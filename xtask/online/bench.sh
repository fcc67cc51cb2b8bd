#!/usr/bin/env bash
# How fast pins are verified, as ratios to what one would use instead: `skopeo inspect` in a loop, `sha256sum` of a file.
# Times the program as `cargo xtask` builds it. Needs docker-registry, skopeo, openssl and GNU time; fails where a ratio is
# worse than promised.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

exec cargo test --quiet --locked --package xtask-online --test it -- --ignored --nocapture --test-threads 1 bench
