#!/bin/bash
# Prepares a start of the agent, as root.
set -euo pipefail
echo "my-agent: ready to start"
