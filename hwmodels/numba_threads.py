"""Starting numba's threads without touching anybody else's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numba

POOL: int = numba.config.NUMBA_NUM_THREADS  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
"""Threads that numba has; no kernel can use more."""

WORTH_SHARING = 2**14
"""Cells below which one thread is as fast: at 20 ns a cell 0.3 ms, and a thread that has to wait for a core, more."""


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


@contextmanager
def enough_for(cells: int) -> Iterator[None]:
    """Within the block the caller's kernels use one thread where so few cells are not worth more."""
    start()
    allowed = numba.get_num_threads()
    if cells >= WORTH_SHARING or allowed == 1:
        yield
        return
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(allowed)
