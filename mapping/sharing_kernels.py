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
    O(n · bins · cols · width).
    """
    skyline = np.zeros((heights.size, cols), dtype=np.int64)
    bins = 0
    for i in range(heights.size):
        high, wide = heights[i], widths[i]
        placed = False
        for number in range(bins + 1):
            best, at = rows + 1, -1
            for left in range(cols - wide + 1):
                top = skyline[number, left : left + wide].max()
                if top < best:
                    best, at = top, left
            if at >= 0 and best + high <= rows:
                place[i, 0], place[i, 1], place[i, 2] = number, best, at
                skyline[number, at : at + wide] = best + high
                bins = max(bins, number + 1)
                placed = True
                break
        assert placed
    return bins
