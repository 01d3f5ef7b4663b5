"""Offset: a weight is the distance of its cells from a fixed reference, in one array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from crossbar.encodings.level_cells import LevelCells
from crossbar.encodings.slicing import CellCodes, Slicing
from hwmodels import required_adc_bits


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


@dataclass(frozen=True, eq=False)
class OffsetEncoding(LevelCells):
    """One array, unsigned codes; every crossing of a driven row is a real cell, a pruned weight one at the reference.

    slicing: the digits; correction: how the reference comes off. "digital": Σ of the input codes, counted by a digital
    accumulator beside the drivers, times the reference; "analog": a dummy column per slice and array holds the
    reference on real cells, with their own error, and its current is subtracted before the (signed) converter.
    """

    slicing: Slicing
    correction: Literal["digital", "analog"] = "digital"

    @property
    def analog(self) -> bool:
        """Whether currents are subtracted before one signed converter."""
        return self.correction == "analog"

    @property
    def planes(self) -> tuple[tuple[int, int], ...]:
        """(sign, slice) of every plane."""
        return tuple((1, part) for part in range(self.slicing.slices))

    @property
    def plane_weights(self) -> np.ndarray:
        """What a code of each plane counts."""
        return self.slicing.weights

    @cached_property
    def levels(self) -> UnsignedLevels:
        """The level set."""
        return UnsignedLevels(self.slicing)

    @property
    def reference_codes(self) -> np.ndarray | None:
        """(planes,) int16 codes of the dummy columns; None where there are none."""
        return self.levels.digits[:, self.levels.zero] if self.analog else None

    def encode(self, index: np.ndarray, live: np.ndarray) -> CellCodes:
        """Cells of level indices (rows, cols); a crossing that is not live holds the reference, a weight of 0."""
        return CellCodes(self.levels.codes(index, live))

    def decode(self, cells: CellCodes) -> tuple[np.ndarray, np.ndarray]:
        """Undo `encode`: level indices (rows, cols), all live: a dead crossing and a live zero look the same."""
        index = self.levels.index(cells.codes)
        return index, np.ones(index.shape, dtype=bool)

    def column_sign(self, signs: np.ndarray | None) -> None:
        """Nothing is signed after the converters."""

    def input_weight_s(self, signs: np.ndarray | None, cols: int) -> np.ndarray | None:
        """(cols,) [S], what the digital sum of the input codes is multiplied by and added: minus the reference."""
        return None if self.analog else np.full(cols, -self.levels.reference_s)

    def required_adc_bits(self, rows: int, live_rows: int, part: int, dac_bits: int) -> int:
        """Bits that no column of slice `part` can exceed: every one of `rows` holds a real cell, live or not."""
        slicing, reference = self.slicing, self.reference_codes
        top = slicing.radices[part] - 1
        if reference is None:
            return required_adc_bits(rows, top + 1, dac_bits, baseline_steps=slicing.baseline_steps)
        # A dead crossing and its dummy cell cancel, so only live rows count. b signed bits hold −2^(b−1) … 2^(b−1) − 1.
        most = live_rows * (2**dac_bits - 1)
        above, below = most * (top - int(reference[part])), most * int(reference[part])
        return 1 + max(above, below - 1, 0).bit_length()
