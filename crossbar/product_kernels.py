"""Compiled kernel of a strip's read-out: converter and shift-and-add in one pass over the column sums."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numba
import numpy as np

from hwmodels.compiling import compiled


@compiled(parallel=True)
def adc_shift_add(sums, step, low, top, weights, total):  # pragma: no cover  (compiled)
    """Convert column sums to codes and add them, weighted, to the running total; the count of clipped samples.

    sums: (n, K · cols) float32, plane by plane; step: float32, one code; low, top: float32, the lowest and highest
    code; weights: (K,) float64 whole numbers, what a code of each plane counts in this input cycle; total: (n, cols)
    float64, added to in place. Codes are whole numbers and so are weights, so the additions are exact below 2⁵³ and
    their order does not matter. One read of the sums and one read and write of the total per plane: O(n · K · cols),
    bound by memory.
    """
    n, cols = total.shape
    clipped = 0
    for i in numba.prange(n):
        beyond = 0
        for k in range(weights.size):
            weight = weights[k]
            for j in range(cols):
                code = np.rint(sums[i, k * cols + j] / step)
                held = min(max(code, low), top)
                beyond += code != held
                total[i, j] += weight * held
        clipped += beyond
    return clipped
