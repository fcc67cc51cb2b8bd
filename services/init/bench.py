#!/usr/bin/env python3
"""How fast `polis-init chown -R` changes the owner of 100,000 files, compared with coreutils.

The programs take turns on the same tree with warm caches, each time with a new owner. Prints the minimum wall-clock
time and the minimum CPU time of both, and their ratios; CPU time is the more reliable one on a busy machine.

Usage: services/init/bench.py [RUNS [DIRECTORY]]
The tree is created below DIRECTORY (default /var/tmp, so that it is on a disk); results depend on its file system.
Needs root, and the program: cargo build --release -p polis-init --target x86_64-unknown-linux-musl
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

DIRECTORIES, FILES = 100, 1000
TARGET = "x86_64-unknown-linux-musl"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(argv):
    """The wall-clock and CPU seconds of a program that must succeed."""
    null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    child = os.posix_spawn(argv[0], argv, {}, file_actions=null)
    _, status, used = os.wait4(child, 0)
    took = time.perf_counter() - start
    if status != 0:
        sys.exit(f"bench: {' '.join(argv)} failed with wait status {status}")
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
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = target / TARGET / "release" / "polis-init"
    theirs = shutil.which("chown")
    if os.geteuid() != 0:
        sys.exit("bench: changing owners requires root: run `sudo services/init/bench.py`")
    if not ours.exists():
        sys.exit(f"bench: {ours} is missing: run `cargo build --release -p polis-init --target {TARGET}`")
    if not theirs:
        sys.exit("bench: chown is not on PATH: install coreutils")
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
        # The first run of each warms the caches.
        took, used = (min(column) for column in zip(*rows[1:]))
        best[name] = (took, used)
        print(f"{name:<10}  {took:.3f} s wall clock, {used:.3f} s CPU")
    clock, cpu = (other / own for other, own in zip(best["coreutils"], best["polis-init"]))
    print(f"ratio       {clock:.2f} wall clock, {cpu:.2f} CPU (coreutils / polis-init)")
    print(f"of          {DIRECTORIES * FILES} files, {runs} runs")
    print(f"a second run, which finds every owner already right, takes {again:.3f} s")


if __name__ == "__main__":
    main()
