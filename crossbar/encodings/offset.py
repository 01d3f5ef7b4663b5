"""Offset: a weight is the distance of its cells from a fixed reference, in one array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from crossbar.encodings.level_cells import LevelCells
from crossbar.encodings.slicing import CellCodes, Slicing
from crossbar.encodings.unsigned_levels import UnsignedLevels
from hwmodels import required_adc_bits


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
