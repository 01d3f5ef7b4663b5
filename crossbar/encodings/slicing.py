"""Whole numbers on cells: digits of any radix, one cell a digit, and the conductance that they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

OPEN = -1
"""Cell code of an open crossing: no cell, 0 S."""


@dataclass(frozen=True, eq=False)
class CellCodes:
    """What stands on the cells of a block of weights, and the bits kept digitally beside it.

    codes: int16 (planes, rows, cols), the level 0 … L − 1 of every cell or `OPEN`; signs: int8 of ±1, or None where
    the encoding needs none. Flipped columns: (slices, cols), −1 where the column holds complements. Polarised:
    (fragments, cols), the sign of a fragment's weights. Pairs: (1, cols), −1 where a column's halves are exchanged,
    None where none are.
    """

    codes: np.ndarray
    signs: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Slicing:
    """How a number 0 … count − 1 is cut into digits, least significant first; digit d stands on level d of its cell.

    g_s: (L,) level conductances, above 0 S and ascending; radices: values of the digit on each slice, 2 … L. Slice s
    counts weights[s] = Π of the radices before it, so numbers on evenly spaced levels give evenly spaced sums
    Σ weights[s] · g[d_s], also where a slice uses only the lowest levels of its cells (8 bits as 3 + 3 + 2).
    """

    g_s: np.ndarray
    radices: tuple[int, ...]

    @property
    def slices(self) -> int:
        """Cells per number."""
        return len(self.radices)

    @cached_property
    def _places(self) -> np.ndarray:
        return np.cumprod(np.array([1, *self.radices], dtype=np.int64))

    @property
    def count(self) -> int:
        """Numbers that can be written."""
        return int(self._places[-1])

    @property
    def weights(self) -> np.ndarray:
        """(slices,) float64 whole numbers: what one slice's sum counts in the result."""
        return self._places[:-1].astype(np.float64)

    @cached_property
    def digits(self) -> np.ndarray:
        """(count, slices) int64: the digits of every number."""
        number = np.arange(self.count)
        return (number[:, None] // self._places[:-1]) % np.array(self.radices)

    def number(self, digits: np.ndarray) -> np.ndarray:
        """The numbers of digits (slices, …), int64."""
        return np.tensordot(self._places[:-1], digits.astype(np.int64), axes=(0, 0))

    @property
    def baseline_s(self) -> float:
        """What a number adds beyond its levels: Σ weights · g_min [S]."""
        return float(self.g_s[0] * self.weights.sum())

    def distinct(self, above_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Distinct sums Σ weights · (g[d] − above_s) [S], ascending (n,), and the digits that make each (n, slices).

        Slices of a device with uneven levels may give one sum twice (within 1e-9 of the largest); the first way to
        write it is kept.
        """
        value = (self.g_s - above_s)[self.digits] @ self.weights
        order = np.argsort(value, kind="stable")
        value = value[order]
        new = np.append(True, np.diff(value) > 1e-9 * value[-1])
        return value[new], self.digits[order][new]

    def ranks(self, digits: np.ndarray) -> np.ndarray:
        """(count,) int64: the place of every number among the chosen digits (n, slices), −1 where it is not."""
        place = np.full(self.count, -1, dtype=np.int64)
        place[self.number(digits.T)] = np.arange(len(digits))
        return place

    def conductances(self, codes: np.ndarray) -> np.ndarray:
        """Target conductances [S] of cell codes; open crossings are 0 S."""
        return np.append(self.g_s, 0.0)[codes]

    @property
    def baseline_steps(self) -> float:
        """g_min in steps between neighbouring levels, (g_max − g_min) / (L − 1)."""
        return float(self.g_s[0] * (self.g_s.size - 1) / (self.g_s[-1] - self.g_s[0]))

    @cached_property
    def grid_unit_s(self) -> float | None:
        """The conductance [S] of which every level is a whole multiple (below 2¹²), or None.

        On cells that sit exactly on their levels, column sums divided by this unit are whole numbers. They are
        exact in float32, whatever the order of summation, while rows · (g_max / unit) · (2^dac_bits − 1) < 2²⁴.
        """
        for multiple in range(1, 4096):
            unit = float(self.g_s[-1]) / multiple
            ratio = self.g_s / unit
            if np.all(np.abs(ratio - np.round(ratio)) < 1e-9 * np.maximum(ratio, 1)):
                return unit
        return None
