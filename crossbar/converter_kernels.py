"""Compiled kernel of real converters: range, gain, offset, noise, transition levels and shift-and-add in one pass."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math

import numba
import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.mismatch_kernels import cosine_of_turn, minus_log, philox4x32


@compiled(inline="always")
def _code(level, low, top, transitions):
    """The code of a level [LSB] by its transition levels; at a level itself the even one of the two codes."""
    # Few transitions lie between the ideal code and the real one, so a walk from it is short.
    code = np.int64(min(max(np.rint(level), np.float64(low)), np.float64(top)))
    while code < top and transitions[code - low] <= level:
        code += 1
    while code > low and transitions[code - low - 1] > level:
        code -= 1
    if code > low and transitions[code - low - 1] == level and code % 2 != 0:
        code -= 1
    return code


@compiled(parallel=True)
def convert_columns(
    sums, step, gain, offset, low, top, transitions, noise, sense, place, key, counter, weights, total
):  # pragma: no cover  (compiled)
    """Convert column sums by each column's own transfer curve and add the codes, weighted, to the total.

    sums: (n, K · cols) float32, plane by plane; step: (K · cols,) float32; gain, offset: (K · cols,) float64, level =
    gain · sum / step + offset + noise · z [LSB]; low, top: codes; transitions: (top − low,) float64, or empty for
    rounding to the nearest, ties to even; noise: σ [LSB]; sense: code −1 below 0, else 0, standing for ∓½; place: (2,
    K · cols) int64 array (−1: no converter, counts nothing) and bit line; key: uint64 (low, high) of the seed; counter:
    uint64 (number of the first vector, last counter word); weights: (K · cols,) float64; total: (n, cols) float64,
    added to in place, planes in ascending order. Returns the count of clipped samples.

    Cost: O(n · K · cols), one read of the sums; bound by memory without noise, by the 10 Philox rounds and the
    logarithm of each draw with it; with transitions a walk as long as the INL in LSB.
    """
    n, cols = total.shape
    k0, k1, first, last = key[0], key[1], counter[0], counter[1]
    rounds = transitions.size == 0
    clipped = 0
    for i in numba.prange(n):
        beyond = 0
        vector = (first + np.uint64(i)) & np.uint64(0xFFFFFFFF)
        for c in range(sums.shape[1]):
            if place[0, c] < 0:
                continue
            level = np.float64(sums[i, c] / step[c]) * gain[c] + offset[c]
            if noise > 0.0:
                w0, w1, _, _ = philox4x32(np.uint64(place[1, c]), vector, np.uint64(place[0, c]), last, k0, k1)
                level += noise * (math.sqrt(2.0 * minus_log(w0)) * cosine_of_turn(w1))
            if sense:
                beyond += abs(level) > 1.0
                held = 0.5 if level >= 0.0 else -0.5
            else:
                code = np.rint(level)
                held = min(max(code, np.float64(low)), np.float64(top))
                beyond += code != held
                if not rounds:
                    held = np.float64(_code(level, low, top, transitions))
            total[i, c % cols] += weights[c] * held
        clipped += beyond
    return clipped
