#!/usr/bin/env python3
"""Holds the lock that /srv/stand-in/hold-lock names, as another package manager would: from the first sign of the
provisioning until that file is gone."""

import fcntl
import os
import time

NAME = "/srv/stand-in/hold-lock"

with open(NAME, encoding="ascii") as name:
    path = name.read().strip()
while not os.path.exists("/var/lib/polis/lock"):
    time.sleep(0.05)
with open(path, "w", encoding="ascii") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    while os.path.exists(NAME):
        time.sleep(0.2)
