"""A strip: all arrays that one set of word lines drives, read in one product (`crossbar.engine`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crossbar.read_noise import ReadNoise


@dataclass(frozen=True)
class Strip:
    """What the converters of the arrays on one strip of word lines see, whatever the encoding.

    A plane is one column per weight column: a slice of one half of a pair, or the difference of both halves where
    they are subtracted before the converter.
    g: (rows, planes · cols) float32 in units of `unit_s`, plane by plane; negative values only where `signed`.
    unit_s: what 1 in `g` means [S]. cols: weight columns. plane_weights: (planes,) float64 whole numbers, what a
    plane's code counts in the result. signed: converters take both signs.
    column_sign: (planes · cols,) float32 of ±1 that a code is multiplied by (flipped columns, fragments of one sign),
    or None: all +1. input_weight: (cols,) float64 in units of `unit_s`, times the digital sum of the input codes added
    to each column (offset, flipped columns), or None: nothing.
    place: (3, planes · cols) int64, array, converted column of the array and first word line of every column (the
    positive half's of a subtracted pair), array −1 where none stands, or None: not told; errors are drawn by it.
    drive_offset: (planes · cols,) float64 [conductance unit × DAC code], what the offsets of the drivers add to every
    sum, or None: nothing. read_noise: of the cells, or None: none.
    """

    g: Tensor
    unit_s: float
    cols: int
    plane_weights: np.ndarray
    signed: bool = False
    column_sign: Tensor | None = None
    input_weight: Tensor | None = None
    place: np.ndarray | None = None
    drive_offset: Tensor | None = None
    read_noise: ReadNoise | None = None

    def to(self, device: torch.device | str) -> Strip:
        """The same strip on another torch device."""
        moved = {
            name: None if value is None else value.to(device)
            for name in ("column_sign", "input_weight", "drive_offset", "read_noise")
            for value in (getattr(self, name),)
        }
        return replace(self, g=self.g.to(device), **moved)

    def rounded(self, unit: float) -> Strip:
        """The same strip with its conductances held as whole multiples of `unit` (in units of `unit_s`, > 0).

        Fixed point: every conductance moves by at most unit / 2, and sums become whole numbers, so integer products
        read them. 1 in the result means unit · unit_s, so the converter's step has to be divided by `unit` as well.
        """
        return replace(
            self,
            g=(self.g / unit).round_(),
            unit_s=self.unit_s * unit,
            input_weight=None if self.input_weight is None else self.input_weight / unit,
            drive_offset=None if self.drive_offset is None else self.drive_offset / unit,
            read_noise=None if self.read_noise is None else self.read_noise.rounded(unit),
        )

    def column_sums(self, codes: Tensor) -> Tensor:
        """Σ input code · g of every converter's column: (n, rows) → (n, planes · cols), one input cycle."""
        return codes @ self.g
