"""Compiled kernel of array sharing: rectangles into bins, first fit on a skyline."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numpy as np

from hwmodels.compiling import compiled


@compiled()
def first_fit(heights: np.ndarray, widths: np.ndarray, rows: int, cols: int, place: np.ndarray) -> int:
    """Put rectangles, in the given order, at the lowest place of the first bin (rows, cols) that takes them.

    heights, widths: (n,) at most rows and cols; place: (n, 3) bin, top and left of each, written. Returns the bins.
    A bin is known by the first free row of each of its columns (its skyline), so what lies below it is lost.
    O(n · bins · cols).
    """
    skyline = np.zeros((heights.size, cols), dtype=np.int64)
    bins = 0
    for i in range(heights.size):
        high, wide = heights[i], widths[i]
        placed = False
        for number in range(bins + 1):
            best, at = rows + 1, -1
            left = 0
            while left + wide <= cols:
                top, last = 0, left
                for col in range(left, left + wide):
                    if skyline[number, col] >= top:
                        top, last = skyline[number, col], col
                if top < best:
                    best, at = top, left
                # No place is lower before the highest column of this one is left behind.
                left = max(left + 1, last + 1 if top >= best and top > 0 and wide > 1 else left + 1)
            if at >= 0 and best + high <= rows:
                place[i, 0], place[i, 1], place[i, 2] = number, best, at
                skyline[number, at : at + wide] = best + high
                bins = max(bins, number + 1)
                placed = True
                break
        assert placed
    return bins
