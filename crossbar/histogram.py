"""What converters see: a histogram of column sums in codes, and how much of the range they use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

BINS = 512
"""Most bins of a histogram; wider spans of codes take several codes a bin."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CodeHistogram:
    """Column sums of a layer in steps of their converters, before clipping.

    Bin i holds the sums that round to the codes first + i · width … first + (i + 1) · width − 1; what lies beyond the
    bins is counted in the first or last. counts: (bins,) int64. low, top: the converters' lowest and highest code, the
    range. used: (top − low + 1,) bool, which codes occurred; None where that is not known.
    """

    first: int
    width: int
    counts: np.ndarray
    low: int
    top: int
    used: np.ndarray | None = None

    @classmethod
    def spanning(cls, least: float, most: float, low: int, top: int) -> CodeHistogram:
        """An empty histogram for sums from `least` to `most` [steps] and the range low … top, at most `BINS` bins."""
        first, last = min(int(np.rint(least)), low), max(int(np.rint(most)), top)
        width = -(-(last - first + 1) // BINS)
        bins = -(-(last - first + 1) // width)
        counts, used = np.zeros(bins, dtype=np.int64), np.zeros(top - low + 1, dtype=bool)
        return cls(first=first, width=width, counts=counts, low=low, top=top, used=used)

    def add(self, steps: Tensor) -> None:
        """Count sums [steps of their converter] of any shape, in place."""
        codes = np.rint(steps.detach().cpu().double().numpy().ravel()).astype(np.int64)
        place = np.clip((codes - self.first) // self.width, 0, self.counts.size - 1)
        self.counts[:] += np.bincount(place, minlength=self.counts.size)
        if self.used is not None:
            self.used[np.clip(codes, self.low, self.top) - self.low] = True

    @property
    def codes_used(self) -> float | None:
        """Share of the converter's codes that occurred, None where that is not known."""
        return None if self.used is None else float(self.used.mean())

    @property
    def beyond(self) -> float:
        """Share of the samples in bins that lie wholly outside the range."""
        left = self.first + self.width * np.arange(self.counts.size)
        outside = (left > self.top) | (left + self.width - 1 < self.low)
        return float(self.counts[outside].sum() / max(int(self.counts.sum()), 1))
