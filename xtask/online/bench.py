#!/usr/bin/env python3
"""How long a rehearsal takes once everything has been built, and after one line of the CLI has changed.

Prints the table of stages of each. The figures are this machine's; issue them from one that is quiet.
Nothing is left changed: the line is taken back.

    python3 xtask/online/bench.py
"""

import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "cli/src/view.rs"
# What a rehearsal may take on two cores, in seconds.
LIMITS = {"after the first build": 20, "after a one-line change of the CLI": 60}


def rehearse():
    """One rehearsal: its seconds by the clock, and those of its stages."""
    command = ["cargo", "xtask", "release", "--rehearse", "--quiet", "--format", "json"]
    started = time.monotonic()
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    seconds = time.monotonic() - started
    if ran.returncode != 0:
        sys.exit(f"the rehearsal ended with {ran.returncode}: {ran.stdout.decode()}")
    return seconds, json.loads(ran.stdout)["data"]["seconds"]


def main():
    rehearse()
    measured = {"after the first build": rehearse()}
    text = SOURCE.read_text()
    try:
        SOURCE.write_text(text + "\n// one line more\n")
        measured["after a one-line change of the CLI"] = rehearse()
    finally:
        SOURCE.write_text(text)
    slow = False
    for name, (seconds, stages) in measured.items():
        print(f"{name}: {seconds:.1f} s (at most {LIMITS[name]})")
        for stage, took in stages.items():
            print(f"  {stage:<10} {took:6.1f} s")
        slow = slow or seconds > LIMITS[name]
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
