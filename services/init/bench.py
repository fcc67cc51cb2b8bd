#!/usr/bin/env python3
"""How fast `polis-init chown -R` gives 100,000 files to another owner, beside coreutils.

Prints both and their ratio from one run, in which the programs take turns on the same tree, each time with another
owner, warm. Two measures, since a loaded machine blurs the first: the time from start to end, and the time of all
processors that the program used. The shortest of each is printed.

Usage: services/init/bench.py [RUNS [DIRECTORY]]
DIRECTORY is where the tree is made (default /var/tmp, so that it lies on a disk); the file system decides much.
Needs root, and the program: cargo build --release -p polis-init --target x86_64-unknown-linux-musl
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

DIRECTORIES, FILES = 100, 1000
PROGRAM = "x86_64-unknown-linux-musl/release/polis-init"


def run(argv):
    """Seconds from start to end, and seconds of processors, of a program that must end well."""
    null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    child = os.posix_spawn(argv[0], argv, {}, file_actions=null)
    _, status, used = os.wait4(child, 0)
    took = time.perf_counter() - start
    if status != 0:
        sys.exit(f"bench: {' '.join(argv)} ended with status {status}")
    return took, used.ru_utime + used.ru_stime


def make(tree):
    for directory in range(DIRECTORIES):
        below = tree / f"directory-{directory}"
        below.mkdir()
        for file in range(FILES):
            (below / f"file-{file}").touch()


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    place = sys.argv[2] if len(sys.argv) > 2 else "/var/tmp"
    ours = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / PROGRAM
    theirs = shutil.which("chown")
    if os.geteuid() != 0:
        sys.exit("bench: changing owners takes root")
    if not ours.exists() or not theirs:
        sys.exit(f"bench: {ours} or chown is missing; see the head of this file")
    contenders = {"coreutils": [theirs], "polis-init": [str(ours), "chown"]}
    measured = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        tree = pathlib.Path(scratch) / "tree"
        tree.mkdir()
        make(tree)
        owner = 1000
        for _ in range(runs + 1):
            for name, argv in contenders.items():
                owner += 1
                measured[name].append(run([*argv, "-R", f"{owner}:{owner}", str(tree)]))
        again = min(run([str(ours), "chown", "-R", f"{owner}:{owner}", str(tree)])[0] for _ in range(runs))
    best = {}
    for name, rows in measured.items():
        # The first turn of each warms the caches.
        best[name] = took, used = [min(column) for column in zip(*rows[1:])]
        print(f"{name:<10}  {took:.3f} s, {used:.3f} s of processors")
    ratio = [best["coreutils"][measure] / best["polis-init"][measure] for measure in (0, 1)]
    print(f"ratio       {ratio[0]:.2f} times as fast, {ratio[1]:.2f} times as cheap; {DIRECTORIES * FILES} files, {runs} runs")
    print(f"a second run, which finds every owner right, takes {again:.3f} s")


if __name__ == "__main__":
    main()
