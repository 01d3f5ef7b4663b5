"""Levels of both signs: a sign and a magnitude in digits, as pairs and polarised fragments write them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from crossbar.encodings.slicing import OPEN, Slicing


@dataclass(frozen=True, eq=False)
class SignedLevels:
    """The level set ±m of a slicing's magnitudes, and which digits stand for which level.

    idle: what stands where no weight does. "open" (0 S): m = Σ weights · g[d], zero is no level (Yuan et al. 2019,
    §II); "hrs" (a real cell at g_min): m = Σ weights · (g[d] − g_min), and zero is one.
    """

    slicing: Slicing
    idle: Literal["open", "hrs"]

    @property
    def idle_code(self) -> int:
        """Cell code of a crossing that carries no weight."""
        return OPEN if self.idle == "open" else 0

    @cached_property
    def _magnitudes(self) -> tuple[np.ndarray, np.ndarray]:
        return self.slicing.distinct(0.0 if self.idle == "open" else float(self.slicing.g_s[0]))

    @cached_property
    def full_scale_s(self) -> float:
        """The largest magnitude [S]."""
        return float(self._magnitudes[0][-1])

    @cached_property
    def values(self) -> np.ndarray:
        """(n,) level values, ascending, in units of the largest magnitude."""
        unit = self._magnitudes[0] / self.full_scale_s
        if self.idle == "open":
            return np.concatenate([-unit[::-1], unit])
        return np.concatenate([-unit[:0:-1], [0.0], unit[1:]])

    @cached_property
    def sign(self) -> np.ndarray:
        """(n,) int8: the sign of every level."""
        return np.sign(self.values).astype(np.int8)

    @cached_property
    def digits(self) -> np.ndarray:
        """(slices, n) int64: the digits of every level's magnitude."""
        upward = self._magnitudes[1]
        downward = upward[::-1] if self.idle == "open" else upward[:0:-1]
        return np.concatenate([downward, upward]).T

    @cached_property
    def _rank(self) -> np.ndarray:
        return self.slicing.ranks(self._magnitudes[1])

    def index(self, sign: np.ndarray, digits: np.ndarray) -> np.ndarray:
        """Level indices of signs (…) and digits (slices, …); the sign of a zero does not matter."""
        rank = self._rank[self.slicing.number(digits)]
        magnitudes = self._magnitudes[0].size
        if self.idle == "open":
            return np.where(sign > 0, magnitudes + rank, magnitudes - 1 - rank)
        return magnitudes - 1 + sign * rank
