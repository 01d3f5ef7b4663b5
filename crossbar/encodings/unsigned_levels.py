"""Levels around a reference: a code's distance from the middle one, as offset and flipped columns write them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossbar.encodings.slicing import Slicing


@dataclass(frozen=True, eq=False)
class UnsignedLevels:
    """The level set of a slicing's sums less the middle one, and which digits stand for which level.

    The n distinct sums u, ascending, less u[n // 2]: for evenly spaced levels the codes −n/2 … n/2 − 1, as in ISAAC's
    bias of 2¹⁵ for 16 bits (Shafiee et al., ISCA 2016, §V).
    """

    slicing: Slicing

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        return self.slicing.distinct(float(self.slicing.g_s[0]))

    @property
    def zero(self) -> int:
        """Index of the level 0, the reference."""
        return self._sums[0].size // 2

    @cached_property
    def _values_s(self) -> np.ndarray:
        sums = self._sums[0]
        return sums - sums[self.zero]

    @cached_property
    def full_scale_s(self) -> float:
        """The largest magnitude [S]."""
        return float(np.abs(self._values_s).max())

    @cached_property
    def values(self) -> np.ndarray:
        """(n,) level values, ascending, in units of the largest magnitude."""
        return self._values_s / self.full_scale_s

    @cached_property
    def digits(self) -> np.ndarray:
        """(slices, n) int16: the digits of every level."""
        return self._sums[1].T.astype(np.int16)

    @cached_property
    def _rank(self) -> np.ndarray:
        return self.slicing.ranks(self._sums[1])

    def index(self, digits: np.ndarray) -> np.ndarray:
        """Level indices of digits (slices, …)."""
        return self._rank[self.slicing.number(digits)]

    def codes(self, index: np.ndarray, live: np.ndarray) -> np.ndarray:
        """Cell codes int16 (slices, rows, cols) of level indices (rows, cols); a dead crossing holds the reference."""
        return self.digits[:, np.where(live, index, self.zero)]

    @cached_property
    def reference_s(self) -> float:
        """Σ weights · g of the reference [S], g_min included: what every driven row adds to every column."""
        return float(self.slicing.weights @ self.slicing.g_s[self.digits[:, self.zero]])
