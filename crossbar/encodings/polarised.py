"""Polarised fragments: one array of magnitudes, one digital sign for every few weights of a column (FORMS)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from crossbar.encodings.level_cells import LevelCells
from crossbar.encodings.signed_levels import SignedLevels
from crossbar.encodings.slicing import OPEN, CellCodes, Slicing
from hwmodels import required_adc_bits
from hwmodels.errors import UserError


class MixedSignsError(UserError):
    """A fragment holds weights of both signs: rows first … last of column `col` of the block that was encoded."""

    def __init__(self, first: int, last: int, col: int) -> None:
        """Name the place."""
        self.first, self.last, self.col = first, last, col
        super().__init__(
            f"Rows {first} to {last} of column {col} hold weights of both signs; the polarised encoding stores one "
            "sign for them. Polarise the network in compression, use smaller fragments, or another encoding."
        )


@dataclass(frozen=True, eq=False)
class PolarisedEncoding(LevelCells):
    """Magnitudes on one array; all weights of a column within a fragment of rows share a sign, kept digitally.

    The fragments of an array are read in turn and their sums added or subtracted digitally (Yuan et al., ISCA 2021).
    slicing: the digits; idle: what stands where no weight does ("open": 0 S; "hrs": a cell at g_min, whose sum over
    the driven rows is taken off digitally, Σ of the input codes times g_min); fragment: rows that share a sign.
    """

    slicing: Slicing
    idle: Literal["open", "hrs"]
    fragment: int

    analog = False
    reference_codes = None

    @property
    def planes(self) -> tuple[tuple[int, int], ...]:
        """(sign, slice) of every plane; +1 stands for both signs."""
        return tuple((1, part) for part in range(self.slicing.slices))

    @property
    def plane_weights(self) -> np.ndarray:
        """What a code of each plane counts."""
        return self.slicing.weights

    @cached_property
    def levels(self) -> SignedLevels:
        """The level set."""
        return SignedLevels(self.slicing, self.idle)

    def encode(self, index: np.ndarray, live: np.ndarray) -> CellCodes:
        """Cells of level indices (rows, cols), and a sign per fragment and column; fragments start at row 0.

        Raises MixedSignsError for the first fragment with live weights of both signs (zeros have none).
        """
        levels = self.levels
        sign = np.where(live, levels.sign[index], 0)
        starts = np.arange(0, index.shape[0], self.fragment)
        positive, negative = (np.logical_or.reduceat(sign == wanted, starts, axis=0) for wanted in (1, -1))
        mixed = np.argwhere(positive & negative)
        if mixed.size:
            part, col = (int(i) for i in mixed[0])
            raise MixedSignsError(part * self.fragment, min((part + 1) * self.fragment, index.shape[0]) - 1, col)
        codes = np.where(live, levels.digits.astype(np.int16)[:, index], np.int16(levels.idle_code))
        return CellCodes(codes, np.where(negative, -1, 1).astype(np.int8))

    def decode(self, cells: CellCodes) -> tuple[np.ndarray, np.ndarray]:
        """Undo `encode`: level indices (rows, cols) and, for open idle cells, which crossings carry a weight.

        With real idle cells a dead crossing and a live zero look the same; both decode to the zero level, live.
        """
        assert cells.signs is not None, "magnitudes cannot be read without their signs"
        rows = cells.codes.shape[1]
        sign = np.repeat(cells.signs, self.fragment, axis=0)[:rows].astype(np.int64)
        index = self.levels.index(sign, np.where(cells.codes == OPEN, 0, cells.codes))
        if self.idle == "hrs":
            return index, np.ones(index.shape, dtype=bool)
        live = (cells.codes != OPEN).any(axis=0)
        return np.where(live, index, 0), live

    def column_sign(self, signs: np.ndarray | None) -> np.ndarray:
        """(planes, cols) of ±1 that a column's code is multiplied by, for the signs (1, cols) of one fragment."""
        assert signs is not None
        assert len(signs) == 1, "fragments are read one at a time"
        return np.repeat(signs, self.slicing.slices, axis=0)

    def input_weight_s(self, signs: np.ndarray | None, cols: int) -> np.ndarray | None:
        """(cols,) [S], what the digital sum of a fragment's input codes is multiplied by and added: the g_min off."""
        assert signs is not None
        return None if self.idle == "open" else -signs[0] * self.slicing.baseline_s

    def required_adc_bits(self, rows: int, live_rows: int, part: int, dac_bits: int) -> int:
        """Bits that no column of slice `part` can exceed in one turn: `rows` are driven, `live_rows` carry a weight."""
        return required_adc_bits(
            live_rows,
            self.slicing.radices[part],
            dac_bits,
            baseline_steps=self.slicing.baseline_steps,
            baseline_rows=live_rows if self.idle == "open" else rows,
        )
