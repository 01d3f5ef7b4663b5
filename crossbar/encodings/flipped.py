"""Flipped columns: offset codes, with every heavy column stored as complements (ISAAC)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossbar.encodings.level_cells import LevelCells
from crossbar.encodings.slicing import CellCodes, Slicing
from crossbar.encodings.unsigned_levels import UnsignedLevels
from hwmodels import required_adc_bits


@dataclass(frozen=True, eq=False)
class FlippedEncoding(LevelCells):
    """Offset codes of which no physical column holds more than half its digits' sum (Shafiee et al., ISCA 2016, §V).

    A column of slice s with Σ d > rows · (R_s − 1) / 2 stores R_s − 1 − d instead, and its sum is put right digitally:
    Σ x·g[d] = (g[0] + g[R_s − 1]) · Σ x − Σ x·g[R_s − 1 − d], with Σ x from a digital accumulator. A converter then
    needs one bit less. The flips follow from the codes alone; `CellCodes.signs` holds them.

    slicing: the digits, on levels where g[d] + g[R_s − 1 − d] is the same for every d (evenly spaced ones are).
    """

    slicing: Slicing

    analog = False
    reference_codes = None

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
    def _top(self) -> np.ndarray:
        """(slices,) int16: the largest digit of each slice."""
        return np.array(self.slicing.radices, dtype=np.int16) - np.int16(1)

    def encode(self, index: np.ndarray, live: np.ndarray) -> CellCodes:
        """Cells of level indices (rows, cols), and the flips; a crossing that is not live holds the reference."""
        codes = self.levels.codes(index, live)
        heavy = 2 * codes.sum(axis=1, dtype=np.int64) > index.shape[0] * self._top[:, None].astype(np.int64)
        signs = np.where(heavy, -1, 1).astype(np.int8)
        return CellCodes(self._flipped(codes, signs), signs)

    def decode(self, cells: CellCodes) -> tuple[np.ndarray, np.ndarray]:
        """Undo `encode`: level indices (rows, cols), all live: a dead crossing and a live zero look the same."""
        assert cells.signs is not None, "flipped columns cannot be read without their flips"
        index = self.levels.index(self._flipped(cells.codes, cells.signs))
        return index, np.ones(index.shape, dtype=bool)

    def _flipped(self, codes: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """Complements in the flipped columns; its own inverse."""
        return np.where(signs[:, None, :] < 0, self._top[:, None, None] - codes, codes)

    def column_sign(self, signs: np.ndarray | None) -> np.ndarray:
        """(planes, cols) of ±1 that a column's code is multiplied by: −1 where it is flipped."""
        assert signs is not None
        return signs

    def input_weight_s(self, signs: np.ndarray | None, cols: int) -> np.ndarray:
        """(cols,) [S], what the digital sum of the input codes is multiplied by and added.

        The flipped columns' (g[0] + g[R_s − 1]), weighted, less the reference.
        """
        assert signs is not None
        g = self.slicing.g_s
        whole = self.slicing.weights * (g[0] + g[self._top])
        return whole @ (signs < 0) - self.levels.reference_s

    def required_adc_bits(self, rows: int, live_rows: int, part: int, dac_bits: int) -> int:
        """Bits that no column of slice `part` can exceed: half of what `rows` cells could add up to, plus g_min."""
        return required_adc_bits(
            rows,
            self.slicing.radices[part],
            dac_bits,
            baseline_steps=self.slicing.baseline_steps,
            encoding="flipped",
        )
