"""What every encoding says of its levels and cells in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from crossbar.encodings.signed_levels import SignedLevels
from crossbar.encodings.slicing import Slicing
from crossbar.encodings.unsigned_levels import UnsignedLevels


class LevelCells(ABC):
    """An encoding's levels and cells: digits of `slicing`, level values of `levels`."""

    slicing: Slicing

    @cached_property
    @abstractmethod
    def levels(self) -> UnsignedLevels | SignedLevels:
        """The level set."""

    @property
    def values(self) -> np.ndarray:
        """(n,) level values, ascending, in units of the largest magnitude."""
        return self.levels.values

    @property
    def full_scale_s(self) -> float:
        """The largest magnitude [S]; a level value of ±1 stands for it."""
        return self.levels.full_scale_s

    @property
    def grid_unit_s(self) -> float | None:
        """See `Slicing.grid_unit_s`."""
        return self.slicing.grid_unit_s

    def conductances(self, codes: np.ndarray) -> np.ndarray:
        """Target conductances [S] of cell codes; open crossings are 0 S."""
        return self.slicing.conductances(codes)
