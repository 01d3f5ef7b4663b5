"""The values that a weight on cells can take, and the integer that names each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwmodels.errors import UserError


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


def evenly_spaced(levels: np.ndarray, count: int) -> np.ndarray:
    """`count` of the levels, of both signs alike and evenly spaced by number; float64 (count,), the largest ±1.

    levels: ascending (L,), the array's (`ArraySpec.weight_levels()`). Of n magnitudes that there are with both signs,
    those of number ⌈j·n/k⌉ for j = 1 … k = ⌊count / 2⌋ stay, the largest among them; an odd count has zero as well.
    Raises UserError for an odd count on levels without zero, and for more than there are.
    """
    levels = np.asarray(levels, dtype=np.float64)
    magnitudes = levels[(levels > 0) & np.isin(-levels, levels)]
    zero, most = bool((levels == 0).any()), magnitudes.size
    half = count // 2
    if count % 2 and not zero:
        raise UserError(f"count = {count} has a zero, and the array's levels have none; use an even count.")
    if not 1 <= half <= most:
        raise UserError(f"count = {count} levels of both signs: the array has {2 * most + zero}; use 2 … {2 * most}.")
    kept = magnitudes[-(-np.arange(1, half + 1) * most // half) - 1]
    kept = kept / kept[-1]
    return np.concatenate([-kept[::-1], [0.0] * (count % 2), kept])


def embedding(values: np.ndarray, levels: np.ndarray) -> float | None:
    """The largest factor f > 0 for which f · v is one of the levels for every value v ≠ 0; None where there is none.

    values, levels: ascending, (n,) and (L,); equal means up to 1e-9 of the largest level. So a grid of `values` at a
    scale s is part of the grid of `levels` at scale s / f.
    """
    values, levels = np.asarray(values, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    values = values[values != 0]
    top = values[np.argmax(np.abs(values))]
    factors = np.sort(levels[levels * top > 0] / top)[::-1]
    middles, near = (levels[1:] + levels[:-1]) / 2, 1e-9 * np.abs(levels).max()
    for value in values:  # most factors fail at the first few values
        wanted = factors * value
        factors = factors[np.abs(levels[np.searchsorted(middles, wanted)] - wanted) <= near]
        if not factors.size:
            return None
    return float(factors[0])
