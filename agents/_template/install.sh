#!/bin/bash
# Installs the agent's dependencies. Runs as root each time the workspace starts, so it skips what is already installed.
set -euo pipefail
echo "my-agent: nothing to install"
