"""Differential pair: positive and negative weights on cells of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from crossbar.encodings.level_cells import LevelCells
from crossbar.encodings.signed_levels import SignedLevels
from crossbar.encodings.slicing import OPEN, CellCodes, Slicing
from hwmodels import required_adc_bits


@dataclass(frozen=True, eq=False)
class PairEncoding(LevelCells):
    """A magnitude's digits stand on the half of its sign; the other half is idle (Yuan et al. 2019, §II and §III).

    slicing: the digits; idle: what stands in the other half, and where no weight does ("open": 0 S, "hrs": a cell at
    g_min, which the subtraction cancels); subtraction: of the halves' codes ("digital") or currents ("analog").
    Planes: the positive slices, then the negative ones.
    """

    slicing: Slicing
    idle: Literal["open", "hrs"]
    subtraction: Literal["digital", "analog"] = "digital"

    reference_codes = None

    @property
    def analog(self) -> bool:
        """Whether currents are subtracted before one signed converter."""
        return self.subtraction == "analog"

    @property
    def planes(self) -> tuple[tuple[int, int], ...]:
        """(sign, slice) of every plane."""
        return tuple((sign, part) for sign in (1, -1) for part in range(self.slicing.slices))

    @property
    def plane_weights(self) -> np.ndarray:
        """What a code of each converted plane counts: all positive slices, then the negative ones if converted."""
        weights = self.slicing.weights
        return weights if self.analog else np.concatenate([weights, -weights])

    @cached_property
    def levels(self) -> SignedLevels:
        """The level set."""
        return SignedLevels(self.slicing, self.idle)

    def encode(self, index: np.ndarray, live: np.ndarray) -> CellCodes:
        """Cells of level indices.

        index: (rows, cols) level indices; live: (rows, cols) bool, False where no weight stands.
        """
        return CellCodes(np.where(live, self._codes_of_level[:, index], np.int16(self.levels.idle_code)))

    @cached_property
    def _codes_of_level(self) -> np.ndarray:
        """(planes, n) int16: the cells of every level."""
        levels = self.levels
        halves = [np.where(levels.sign == wanted, levels.digits, levels.idle_code) for wanted in (1, -1)]
        return np.concatenate(halves).astype(np.int16)

    def exchanged(self, codes: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The cells (planes, rows, cols) with both halves exchanged in some columns, (cols,) bool; its own inverse.

        Such a column reads as the negative of its weights; `column_sign` puts that right.
        """
        halves = codes.reshape(2, self.slicing.slices, *codes.shape[1:])
        return np.where(columns, halves[::-1], halves).reshape(codes.shape)

    def decode(self, cells: CellCodes) -> tuple[np.ndarray, np.ndarray]:
        """Undo `encode`: level indices (rows, cols) and, for open idle cells, which crossings carry a weight.

        With real idle cells a dead crossing and a live zero look the same; both decode to the zero level, live.
        """
        codes = cells.codes if cells.signs is None else self.exchanged(cells.codes, cells.signs[0] < 0)
        halves = codes.reshape(2, self.slicing.slices, *codes.shape[1:])
        present = (halves != self.levels.idle_code).any(axis=1)
        sign = present[0].astype(np.int64) - present[1]
        digits = np.where(halves == OPEN, 0, halves)
        index = self.levels.index(sign, np.where(present[1], digits[1], digits[0]))
        if self.idle == "hrs":
            return index, np.ones(index.shape, dtype=bool)
        live = present.any(axis=0)
        return np.where(live, index, 0), live

    def column_sign(self, signs: np.ndarray | None) -> np.ndarray | None:
        """(converted planes, cols) of ±1 that a column's code is multiplied by: −1 where its halves are exchanged."""
        return None if signs is None else np.repeat(signs, self.plane_weights.size, axis=0)

    def input_weight_s(self, signs: np.ndarray | None, cols: int) -> None:
        """Nothing is added: the halves cancel their g_min."""

    def required_adc_bits(self, rows: int, live_rows: int, part: int, dac_bits: int) -> int:
        """Bits that no column of slice `part` can exceed: `rows` are driven, `live_rows` carry a weight.

        live_rows: of this half, or of both where they are subtracted before the converter.
        """
        slicing = self.slicing
        cancelled = self.analog and self.idle == "hrs"
        return required_adc_bits(
            live_rows,
            slicing.radices[part],
            dac_bits,
            subtracted_pair=self.analog,
            baseline_steps=0.0 if cancelled else slicing.baseline_steps,
            baseline_rows=live_rows if self.idle == "open" else rows,
        )
