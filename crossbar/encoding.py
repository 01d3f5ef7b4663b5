"""Weights on cells: which conductances stand for a level index, and which index stands on given cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

OPEN = -1
"""Cell code of an open crossing: no cell, 0 S."""


@dataclass(frozen=True, eq=False)
class PairEncoding:
    """Differential pair: positive and negative weights on separate cells, magnitudes cut into slices.

    A magnitude is written in base L (L levels per cell), digit s on slice s. With the level conductances
    g[0] < … < g[L−1], its value is Σ_s Lˢ·g[d_s] where idle cells are open (Yuan et al. 2019, §II: ±g, zero not a
    level), and Σ_s Lˢ·(g[d_s] − g[0]) where they are real cells at g_min (the pair's other half cancels g_min).

    g_s: (L,) level conductances, ascending [S]; slices: cells per magnitude; idle: "open" or "hrs".
    Cell codes: the level 0 … L−1 of a cell, or `OPEN`.
    """

    g_s: np.ndarray
    slices: int
    idle: Literal["open", "hrs"]

    @property
    def idle_code(self) -> int:
        """Cell code of a crossing that carries no weight."""
        return OPEN if self.idle == "open" else 0

    @property
    def slice_weights(self) -> np.ndarray:
        """(slices,) what one slice's sum counts in the result: Lˢ."""
        return float(self.g_s.size) ** np.arange(self.slices)

    @cached_property
    def _magnitudes(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct magnitudes [S], ascending, and the base-L digits (n, slices) that make each."""
        levels = self.g_s.size
        code = np.arange(levels**self.slices)
        digits = (code[:, None] // levels ** np.arange(self.slices)) % levels
        cell = self.g_s if self.idle == "open" else self.g_s - self.g_s[0]
        value = cell[digits] @ self.slice_weights
        # Slices of a device with uneven levels may give one magnitude twice; the first way to write it is kept.
        order = np.argsort(value, kind="stable")
        value, digits = value[order], digits[order]
        distinct = np.append(True, np.diff(value) > 1e-9 * value[-1])
        return value[distinct], digits[distinct]

    @cached_property
    def full_scale_s(self) -> float:
        """The largest magnitude [S]; a level value of 1 stands for it."""
        return float(self._magnitudes[0][-1])

    @cached_property
    def values(self) -> np.ndarray:
        """(n,) level values, ascending, in units of the largest magnitude."""
        unit = self._magnitudes[0] / self.full_scale_s
        positive = unit if self.idle == "open" else unit[1:]
        zero = [] if self.idle == "open" else [0.0]
        return np.concatenate([-positive[::-1], zero, positive])

    @cached_property
    def _signed(self) -> tuple[np.ndarray, np.ndarray]:
        """Per level index: its sign (n,) and its magnitude's place in `_magnitudes` (n,)."""
        sign = np.sign(self.values).astype(np.int8)
        n = self._magnitudes[0].size
        upward = np.arange(n) if self.idle == "open" else np.arange(1, n)
        middle = [] if self.idle == "open" else [0]
        return sign, np.concatenate([upward[::-1], middle, upward]).astype(np.intp)

    def encode(self, index: np.ndarray, live: np.ndarray) -> np.ndarray:
        """Cell codes of level indices.

        index: (rows, cols) level indices; live: (rows, cols) bool, False where no weight stands.
        Returns int16 (2, slices, rows, cols): positive cells first, then negative ones.
        """
        return np.where(live, self._codes_of_level[:, :, index], np.int16(self.idle_code))

    @cached_property
    def _codes_of_level(self) -> np.ndarray:
        """(2, slices, n) int16: the cells of every level, positive half first."""
        sign, magnitude = self._signed
        digits = self._magnitudes[1][magnitude].T
        halves = [np.where(sign == wanted, digits, self.idle_code) for wanted in (1, -1)]
        return np.stack(halves).astype(np.int16)

    def decode(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo `encode`: level indices (rows, cols) and, for open idle cells, which crossings carry a weight.

        With real idle cells a dead crossing and a live zero look the same; both decode to the zero level, live.
        """
        levels = self.g_s.size
        present = (codes != self.idle_code).any(axis=1)
        digits = np.where(codes == OPEN, 0, codes).astype(np.int64)
        number = np.tensordot(levels ** np.arange(self.slices), digits, axes=(0, 1))
        magnitudes = self._magnitudes[1] @ levels ** np.arange(self.slices)
        place = np.full(levels**self.slices, -1, dtype=np.int64)
        place[magnitudes] = np.arange(magnitudes.size)
        n = self.values.size
        top = self._magnitudes[0].size
        positive, negative = present[0], present[1]
        if self.idle == "open":
            index = np.where(positive, n - top + place[number[0]], top - 1 - place[number[1]])
            return np.where(positive | negative, index, 0), positive | negative
        zero = n // 2
        index = zero + np.where(positive, place[number[0]], 0) - np.where(negative, place[number[1]], 0)
        return index, np.ones(index.shape, dtype=bool)

    def conductances(self, codes: np.ndarray) -> np.ndarray:
        """Target conductances [S] of cell codes; open crossings are 0 S."""
        return np.append(self.g_s, 0.0)[codes]

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
