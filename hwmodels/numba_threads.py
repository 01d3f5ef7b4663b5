"""Starting numba's threads without touching anybody else's."""

from __future__ import annotations

import threading
from functools import cache

import numba

POOL: int = numba.config.NUMBA_NUM_THREADS  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
"""Threads that numba has; no kernel can use more."""


@cache
def start() -> None:
    """Start numba's thread pool, once, from a thread of its own.

    Its OpenMP layer sets the number of OpenMP threads of whichever thread starts it. Started from the caller's, it
    would change how many threads torch uses from then on (torch asks OpenMP), and with it the last bits of training.
    """
    starter = threading.Thread(target=numba.get_num_threads)
    starter.start()
    starter.join()


def limit(threads: int) -> None:
    """Let the caller's kernels use at most so many threads from now on."""
    start()
    numba.set_num_threads(max(1, min(threads, POOL)))
