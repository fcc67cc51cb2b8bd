#!/bin/bash
# Runs as root before each start of the agent.
set -euo pipefail
echo "my-agent: ready to start"
