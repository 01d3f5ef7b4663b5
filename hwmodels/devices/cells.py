"""A block of cells with its place: what a stage needs to know besides the conductances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwmodels.devices.random import COLUMNS, Purpose, block_words, counter_word, key_of_seed
from hwmodels.errors import UserError


@dataclass(frozen=True)
class Cells:
    """Identity of a block of cells: the seed, the place of its first cell, and its shape (arrays, rows, cols)."""

    seed: int
    origin: tuple[int, int, int]
    shape: tuple[int, int, int]

    def with_more(self, rows: int, cols: int) -> Cells:
        """The same cells and so many more rows and columns behind them."""
        return replace(self, shape=(self.shape[0], self.shape[1] + rows, self.shape[2] + cols))

    def word_lines(self) -> Cells:
        """The cells in column 0 of the rows, (arrays, rows, 1): they draw for their word lines."""
        return Cells(self.seed, (*self.origin[:2], 0), (*self.shape[:2], 1))

    def bit_lines(self) -> Cells:
        """The cells in row 0 of the columns, (arrays, 1, cols): they draw for their bit lines."""
        return Cells(self.seed, (self.origin[0], 0, self.origin[2]), (self.shape[0], 1, self.shape[2]))

    def blocks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Array, row and block numbers, broadcast against each other, of the blocks of words that hold the cells."""
        (array, row, col), (arrays, rows, cols) = self.origin, self.shape
        end = -(-(col + cols) // COLUMNS)
        a, r, b = np.ogrid[array : array + arrays, row : row + rows, col // COLUMNS : end]
        return a, r, b

    def of_blocks(self, values: Any) -> Any:
        """Four values of each of the `blocks`, (arrays, rows, blocks, 4) of NumPy or torch -> those of the cells."""
        first = self.origin[2] % COLUMNS
        return values.reshape(*self.shape[:2], -1)[..., first : first + self.shape[2]]

    def counters(self, *purposes: Purpose, read: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Origin, key and last counter word per purpose, as the kernels take them (uint64)."""
        last = [int(purpose) << 24 | read for purpose in purposes]
        return (
            np.array(self.origin, dtype=np.uint64),
            np.array(key_of_seed(self.seed), dtype=np.uint64),
            np.array(last, dtype=np.uint64),
        )


def cell_words(purpose: Purpose, cells: Cells, read: int = 0) -> np.ndarray:
    """The random word of every cell: uint32, shape of the block of cells; see `random`."""
    return cells.of_blocks(block_words(purpose, cells.seed, cells.blocks(), read))


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
