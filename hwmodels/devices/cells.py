"""A block of cells with its place: what a stage needs to know besides the conductances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwmodels.devices.random import Purpose, counter_word, key_of_seed
from hwmodels.errors import UserError


@dataclass(frozen=True)
class Cells:
    """Identity of a block of cells: the seed, the place of its first cell, and its shape (arrays, rows, cols)."""

    seed: int
    origin: tuple[int, int, int]
    shape: tuple[int, int, int]

    def place(self, more_rows: int = 0, more_cols: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Array, row and column numbers that broadcast to the block; on request with more behind it."""
        (array, row, col), (arrays, rows, cols) = self.origin, self.shape
        a, r, c = np.ogrid[array : array + arrays, row : row + rows + more_rows, col : col + cols + more_cols]
        return a, r, c

    def counters(self, *purposes: Purpose, read: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Origin, key and last counter word per purpose, as the kernels take them (uint64)."""
        last = [int(purpose) << 24 | read for purpose in purposes]
        return (
            np.array(self.origin, dtype=np.uint64),
            np.array(key_of_seed(self.seed), dtype=np.uint64),
            np.array(last, dtype=np.uint64),
        )


def identified(shape: tuple[int, ...], seed: int, array: int, row: int, col: int) -> Cells:
    """The cells of a block of shape (rows, cols) or (arrays, rows, cols); raises UserError for bad numbers."""
    key_of_seed(seed)
    full = (1, *shape) if len(shape) == 2 else shape
    assert len(full) == 3
    names = ("array", "row", "col")
    first = [counter_word(*item) for item in zip(names, (array, row, col), full, strict=True)]
    return Cells(int(seed), (first[0], first[1], first[2]), (full[0], full[1], full[2]))


def checked(g: Any, what: str = "Target conductances") -> np.ndarray:
    """Conductances as contiguous float64 (arrays, rows, cols) [S]; raises UserError that says `what` is wrong."""
    values = np.asarray(g)
    if values.ndim not in (2, 3) or values.dtype.kind not in "fiu":
        raise UserError(
            f"{what} are real numbers of shape (rows, cols) or (arrays, rows, cols), "
            f"not {values.dtype} of shape {values.shape}."
        )
    values = np.ascontiguousarray(values, dtype=np.float64).reshape((-1, *values.shape[-2:]))
    if values.size and not (values.min() >= 0 and values.max() < np.inf):  # without a temporary; NaN fails both
        bad = ~(np.isfinite(values) & (values >= 0))
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise UserError(
            f"{int(bad.sum())} {what[0].lower()}{what[1:]} are negative or not finite; the first is "
            f"{values[first]} S at array, row, column {first}."
        )
    return values


def checked_read(read: int) -> int:
    """The number of a read, from 0 to 2²⁴ − 1; raises UserError for anything else."""
    if isinstance(read, (bool, np.bool_)) or not isinstance(read, (int, np.integer)) or not 0 <= read < 2**24:
        raise UserError(f"read is the number of a read, from 0 to 2**24 - 1, not {read!r}.")
    return int(read)


def checked_time(t_s: float) -> float:
    """A time since programming [s]; raises UserError for a negative or infinite one."""
    if isinstance(t_s, bool) or not isinstance(t_s, (int, float, np.integer, np.floating)) or not 0 <= t_s < np.inf:
        raise UserError(f"t_s is the time since programming in seconds, at least 0, not {t_s!r}.")
    return float(t_s)
