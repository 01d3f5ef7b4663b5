"""The values that a weight on cells can take, and the integer that names each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LevelGrid:
    """A layer's weight levels: weight = float32(scale · values[index]).

    values: float64 (L,), ascending, in units of the largest weight that the cells can hold (so max |v| = 1);
    scale: float64, () for one scale a layer, or one a column: (cols,) beside indices (rows, cols), (groups, cols)
    beside indices (groups, rows, cols).
    The table `scale · values`, rounded once to float32, is what "a weight is on its level" means everywhere:
    two weights are equal exactly when their indices are.
    """

    values: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        """Freeze the arrays as float64; refuse levels that are not ascending or a scale that is not positive."""
        values = np.ascontiguousarray(self.values, dtype=np.float64)
        scale = np.array(self.scale, dtype=np.float64)
        if values.ndim != 1 or values.size < 2 or not np.all(np.diff(values) > 0):
            raise ValueError("levels must be a one-dimensional, strictly ascending array of at least two values")
        if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
            raise ValueError(f"the scale of a level grid must be positive and finite, not {self.scale!r}")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "scale", scale)

    @property
    def index_dtype(self) -> type:
        """The smallest of uint8 and uint16 that numbers every level."""
        return np.uint8 if self.values.size <= 256 else np.uint16

    def table(self) -> np.ndarray:
        """(L,) float32 level weights of a grid with one scale a layer."""
        assert self.scale.ndim == 0, "a scale per column has no single table"
        return (self.values * self.scale).astype(np.float32)

    def weights(self, index: np.ndarray) -> np.ndarray:
        """float32 weights of level indices (…, rows, cols)."""
        if self.scale.ndim == 0:
            return self.table()[index]
        return (self.values[index] * self.scale[..., None, :]).astype(np.float32)

    def index(self, matrix: np.ndarray) -> np.ndarray:
        """Index of the level nearest to each weight (…, rows, cols); a tie goes to the lower level."""
        scale = self.scale if self.scale.ndim == 0 else self.scale[..., None, :]
        unit = np.asarray(matrix, dtype=np.float64) / scale
        middles = (self.values[1:] + self.values[:-1]) / 2
        return np.searchsorted(middles, unit, side="left").astype(self.index_dtype)
