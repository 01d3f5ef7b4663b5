"""Compiled kernel of real converters: range, gain, offset, noise, transition levels and shift-and-add in one pass."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numba
import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.random_kernels import normal_pair, philox4x32


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


@compiled()
def _add_noise(level, noise, lines, arrays, vector, last, k0, k1):
    """Add the noise of a vector's conversions to their levels; one draw per column, no branches: it runs in lanes."""
    for c in range(level.size):
        w0, w1, _, _ = philox4x32(lines[c], vector, arrays[c], last, k0, k1)
        z, _ = normal_pair(w0, w1)
        level[c] += noise * z


@compiled()
def _quantise(level, low, top, transitions, present):
    """Levels become codes, in place; returns how many of the columns that are present were clipped."""
    clipped = 0
    lowest, highest = np.float64(low), np.float64(top)
    if transitions.size == 0:
        for c in range(level.size):
            code = np.rint(level[c])
            held = min(max(code, lowest), highest)
            clipped += present[c] * (code != held)
            level[c] = held
        return clipped
    for c in range(level.size):
        code = np.rint(level[c])
        clipped += present[c] * ((code < lowest) | (code > highest))
        level[c] = np.float64(_code(level[c], low, top, transitions))
    return clipped


@compiled()
def _sense(level, present):
    """Levels become the middles of the half they lie in, in place; returns how many lay outside ±1."""
    clipped = 0
    for c in range(level.size):
        clipped += present[c] * (abs(level[c]) > 1.0)
        level[c] = 0.5 if level[c] >= 0.0 else -0.5
    return clipped


@compiled(parallel=True)
def convert_columns(
    sums, step, gain, offset, low, top, transitions, noise, sense, present, lines, arrays, key, counter, weights, total
):  # pragma: no cover  (compiled)
    """Convert column sums by each column's own transfer curve and add the codes, weighted, to the total.

    sums: (n, K · cols) float32, plane by plane; step: (K · cols,) float32; gain, offset: (K · cols,) float64, level =
    gain · sum / step + offset + noise · z [LSB]; low, top: codes; transitions: (top − low,) float64, or empty for
    rounding to the nearest, ties to even; noise: σ [LSB]; sense: code −1 below 0, else 0, standing for ∓½; present:
    (K · cols,) int64 of 0 and 1, where a converter stands; lines, arrays: (K · cols,) uint64, its place;
    key: uint64 (low, high) of the seed; counter: uint64 (first vector, last counter word); weights: (K · cols,)
    float64, 0 where no converter stands; total: (n, cols) float64, added to in place, planes in ascending order.
    Returns the count of clipped samples.

    Cost: O(n · K · cols), one read of the sums. Measured on one core (`benchmarks/bench_readout.py`): 1.3 to 1.5 ns a
    sample for range, gain and offset (the plain pass takes 0.7 to 0.9), 18 to 20 ns with transitions (a walk as long as
    the INL in LSB), and 8 to 12 ns more with noise.
    """
    n, cols = total.shape
    k0, k1, first, last = key[0], key[1], counter[0], counter[1]
    clipped = 0
    for i in numba.prange(n):
        level = np.empty(sums.shape[1])
        for c in range(level.size):
            level[c] = np.float64(sums[i, c] / step[c]) * gain[c] + offset[c]
        if noise > 0.0:
            vector = (first + np.uint64(i)) & np.uint64(0xFFFFFFFF)
            _add_noise(level, noise, lines, arrays, vector, last, k0, k1)
        clipped += _sense(level, present) if sense else _quantise(level, low, top, transitions, present)
        for k in range(level.size // cols):
            for j in range(cols):
                total[i, j] += weights[k * cols + j] * level[k * cols + j]
    return clipped
