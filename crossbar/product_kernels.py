"""Compiled kernel of a strip's read-out: converter and shift-and-add in one pass over the column sums."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numba
import numpy as np

from hwmodels.compiling import compiled

_U = np.uint64


@compiled(parallel=True)
def gather(values, start, offset, out):  # pragma: no cover  (compiled)
    """Write vectors out: out[i, r] = values[start[i] + offset[r]], out (n, rows) of any type."""
    for i in numba.prange(start.size):
        first = start[i]
        for r in range(offset.size):
            out[i, r] = values[first + offset[r]]


@compiled(parallel=True)
def adc_accumulate(sums, step, low, top, weight, digital, total, row, column):  # pragma: no cover  (compiled)
    """Convert column sums to codes and add them, weighted, into a part of a running total; the clipped samples.

    sums: (n, K · cols) float32, plane by plane; step: float32, one code; low, top: float32, the lowest and highest
    code; weight: of the input cycle; digital: (K, cols), what a column's code counts; total: (all vectors, all
    columns), added to from (row, column) on, of the type of weight and digital. Codes are whole numbers and so are
    weights, so the additions are exact below 2⁵³ (2²⁴ in float32) and their order does not matter. One read of the sums
    and one read and write of the total per plane: O(n · K · cols), bound by memory.
    """
    n = sums.shape[0]
    planes, cols = digital.shape
    first = _U(column)  # unsigned: numba would ask of every signed place whether it counts from the end
    clipped = 0
    for i in numba.prange(n):
        beyond = np.int32(0)
        for k in range(planes):
            for j in range(cols):
                code = np.rint(sums[i, k * cols + j] / step)
                held = min(max(code, low), top)
                beyond += np.int32(code != held)
                total[_U(row + i), first + _U(j)] += weight * digital[k, j] * held
        clipped += beyond
    return clipped


@compiled(parallel=True)
def quantise(x, factor, low, top, bottom, codes):  # pragma: no cover  (compiled)
    """Input codes min(max(round(x · factor), low), top); how many lay above top or below bottom, how many were NaN.

    x: (m,) float32; factor, low, top, bottom: float32; codes: (m,) of any type that holds them, written.
    """
    clipped = 0
    missing = 0
    for i in numba.prange(x.size):
        code = np.rint(x[i] * factor)
        clipped += np.int32(code > top or code < bottom)
        missing += np.int32(code != code)
        codes[i] = min(max(code, low), top)
    return clipped, missing


@compiled(parallel=True)
def finish(total, scale, bias, out):  # pragma: no cover  (compiled)
    """out = total · scale + bias in double precision, rounded once; (n, cols), scale and bias (cols,) float64."""
    n, cols = total.shape
    for i in numba.prange(n):
        for j in range(cols):
            out[i, j] = total[i, j] * scale[j] + bias[j]
