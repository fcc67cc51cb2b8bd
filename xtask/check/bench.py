#!/usr/bin/env python3
"""How much faster `check` judges the cloud-init file than cloud-init's own validator.

Prints the medians of one run, in which the programs take turns on the same file, and fails below the ratio that we
promise. Each is timed whole, from the start of its process to its end, warm: cloud-init's own program as its package
installs it, its byte code compiled before; ours as `cargo xtask` builds it, without cargo itself. Left out of ours is
shellcheck, which has no counterpart over there. Nothing is kept from one run to the next.

Usage: xtask/check/bench.py [RUNS]
Needs cloud-init >= 24: installed, or unpacked in the directory that POLIS_CLOUD_INIT names (`cargo xtask ci` leaves one
in target/parts/cloud-init/unpacked).
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time

PROMISED = 50
FILE = "cloud-init/cloud-init.yaml"


def seconds(argv, environment):
    """How long a program takes that must end well; what it prints is thrown away."""
    null = [(os.POSIX_SPAWN_OPEN, to, os.devnull, os.O_WRONLY, 0) for to in (1, 2)]
    start = time.perf_counter()
    child = os.posix_spawn(argv[0], argv, environment, file_actions=null)
    status = os.waitpid(child, 0)[1]
    took = time.perf_counter() - start
    if status != 0:
        sys.exit(f"bench: {' '.join(argv)} ended with status {status}")
    return took


def contenders():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    unpacked = pathlib.Path(os.environ.get("POLIS_CLOUD_INIT", f"{target}/parts/cloud-init/unpacked"))
    theirs = dict(os.environ)
    program = "/usr/bin/cloud-init"
    if unpacked.is_dir():
        program = str(unpacked / "usr/bin/cloud-init")
        theirs["PYTHONPATH"] = str(unpacked / "usr/lib/python3/dist-packages")
    # `check` would ask an installed cloud-init too, and be timed together with it.
    ours = {"PATH": ""}
    check = [f"{target}/debug/xtask-check", "--root", ".", "check", "--no-shell"]
    return {
        "cloud-init schema on the file": (["/usr/bin/python3", program, "schema", "--config-file", FILE], theirs),
        "check on the file": ([*check, FILE], ours),
        "check on the whole tree": (check, ours),
    }


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    os.chdir(pathlib.Path(__file__).resolve().parents[2])
    subprocess.run(["cargo", "build", "--quiet", "--package", "xtask-check"], check=True)
    programs = contenders()
    times = {name: [] for name in programs}
    for run in range(runs + 1):
        for name, program in programs.items():
            took = seconds(*program)
            if run > 0:  # the first one reads the files from the disk
                times[name].append(took)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    theirs, ours, _ = medians.values()
    print(f"median of {runs} runs")
    for name, median in medians.items():
        print(f"{name:<30} {median * 1000:8.2f} ms {theirs / median:8.1f} times as fast as cloud-init")
    if theirs / ours < PROMISED:
        sys.exit(f"bench: less than {PROMISED} times as fast")


main()
