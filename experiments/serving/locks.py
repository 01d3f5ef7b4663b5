"""Whether another process holds a lock file: told without touching the lock."""

from __future__ import annotations

import os
import time
from pathlib import Path

LOCKS = Path("/proc/locks")
RECENT_S = 60.0
"""Where the system does not list its locks, work that changed something within this time is taken to run."""


def held(lock: Path, journal: Path | None = None) -> bool:
    """Whether a process holds `lock` (flock); journal: what it writes, looked at where locks are not listed.

    Taking the lock to find out would turn a sweep away that starts in that very moment.
    """
    try:
        inode = lock.stat().st_ino
    except OSError:
        return False
    if inode in _locked():
        return True
    # Locks of another container or machine are not in the list: its writing tells.
    latest = max((_changed_s(path) for path in (journal, lock) if path is not None), default=0.0)
    return not LOCKS.exists() and time.time() - latest < RECENT_S


def _locked() -> set[int]:
    """Inodes of the files that somebody has locked for writing."""
    found = set()
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        parts = line.split()
        # "1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF"; the device is not compared, as overlays show another one.
        if len(parts) >= 6 and parts[1] == "FLOCK" and parts[3] == "WRITE":
            found.add(int(parts[5].rpartition(":")[2]))
    return found


def _changed_s(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
