"""When whole numbers stay whole: what a strip's sums can reach, and when reading them bit by bit loses nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossbar.converters import Converter

FLOAT32_WHOLE = 2**24
"""Whole numbers below this are exact in float32, in whatever order they are added up."""


@dataclass(frozen=True)
class WholeSums:
    """A strip whose conductances are whole multiples of one unit, so that its column sums are too.

    unit: that unit, in units of the strip's conductances; largest, smallest: of any column sum for input codes 0 … 1,
    in `unit`s (smallest ≤ 0 ≤ largest).
    """

    unit: float
    largest: int
    smallest: int

    @property
    def reach(self) -> int:
        """The largest magnitude of a partial sum for input codes 0 … 1."""
        return max(self.largest, -self.smallest)


def whole_sums(g: Tensor) -> WholeSums | None:
    """The common unit of conductances (rows, columns) and what their sums reach; None if they are not whole numbers."""
    if g.numel() == 0 or not bool((g == g.round()).all()) or float(g.abs().max()) >= FLOAT32_WHOLE:
        return None
    values = np.unique(g.abs().cpu().numpy()).astype(np.int64)
    unit = int(np.gcd.reduce(values)) or 1
    ups = g.clamp_min(0).sum(dim=0, dtype=torch.float64).max()
    downs = g.clamp_max(0).sum(dim=0, dtype=torch.float64).min()
    return WholeSums(unit=float(unit), largest=round(float(ups) / unit), smallest=round(float(downs) / unit))


def lossless(sums: WholeSums | None, converter: Converter, code_top: int) -> bool:
    """Whether a converter provably gives back every column sum as it is, so that all cycles collapse into one product.

    sums: of the strip; code_top: the largest input code of one cycle. Three conditions: the sums lie on a grid; the
    converter's step divides that grid (a whole number of steps to the unit, to 1e-12 relative, so every sum is a code);
    and the largest sum of either sign lies within the range. That the product of whole codes stays exact is the
    reader's part (`exact_in_float32`).
    """
    if sums is None or not isinstance(converter.step, int | float):
        return False
    steps = sums.unit / converter.step
    whole = round(steps)
    if whole < 1 or abs(steps - whole) > 1e-12 * whole:
        return False
    return sums.largest * code_top * whole <= converter.top and sums.smallest * code_top * whole >= converter.low


def exact_in_float32(weights: Tensor, code_top: int) -> bool:
    """Whether codes 0 … code_top times whole weights (rows, cols) add up without rounding in float32."""
    return float(weights.abs().sum(dim=0, dtype=torch.float64).max()) * code_top < FLOAT32_WHOLE


def exact_inverse(sums: WholeSums, step: float, code_top: int) -> float:
    """A float32 inverse that gives the code of every sum that can occur, as division by the step does; 0 if none does.

    Tried on all of them (there are at most 2¹⁶), so multiplying instead of dividing is not an approximation.
    """
    possible = np.arange(sums.smallest * code_top, sums.largest * code_top + 1, dtype=np.float64)
    wanted = np.rint((possible * sums.unit).astype(np.float32) / np.float32(step))
    inverse = np.float32(sums.unit / step)
    for candidate in (inverse, np.nextafter(inverse, np.float32(0)), np.nextafter(inverse, np.float32(np.inf))):
        if np.array_equal(np.rint(possible.astype(np.float32) * candidate), wanted):
            return float(candidate)
    return 0.0
