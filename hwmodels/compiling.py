"""How every kernel is compiled: numba, with a cache on disk where one can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`numba.njit` with a cache on disk, and without one where no folder can be written (read-only installs).

    Errors as in NumPy: Python's check for a division by zero would keep the compiler from working on several numbers.
    options: those of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(cache=True, error_model="numpy", **options)(function)
        except RuntimeError:  # numba found no place for its cache
            return numba.njit(error_model="numpy", **options)(function)

    return decorate
