#!/usr/bin/env python3
"""What `polis` weighs and how fast it answers: its size, and the time of `polis version` beside that of a program that
does nothing. Prints both, and fails from 3 MB or 5 ms on.

    cli/bench.py        builds the release profile first
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

RUNS = 200
MOST_BYTES = 3_000_000
MOST_MS = 5.0

ROOT = pathlib.Path(__file__).resolve().parent.parent


def milliseconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1000


def main():
    subprocess.run(["cargo", "build", "--locked", "--release", "--package", "polis"], check=True, cwd=ROOT)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    polis = target / "release" / "polis"
    size = polis.stat().st_size
    nothing = shutil.which("true")
    # In turns, so that whatever else the machine does strikes both.
    times = {"polis version": [], "true": []}
    for _ in range(RUNS):
        times["polis version"].append(milliseconds([polis, "version"]))
        times["true"].append(milliseconds([nothing]))
    ours, theirs = (statistics.median(times[name]) for name in ("polis version", "true"))
    print(f"size            {size / 1e6:.2f} MB")
    print(f"polis version   {ours:.2f} ms")
    print(f"true            {theirs:.2f} ms")
    print(f"ratio           {ours / theirs:.2f}")
    return 0 if size < MOST_BYTES and ours < MOST_MS else 1


if __name__ == "__main__":
    sys.exit(main())
