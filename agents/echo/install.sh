#!/bin/bash
# Checks that what the agent needs is there; the image has it.
set -euo pipefail
/usr/bin/python3 --version
