#!/bin/bash
# Checks that the agent's dependencies are installed; the image has them.
set -euo pipefail
/usr/bin/python3 --version
