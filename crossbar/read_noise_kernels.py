"""Compiled kernel of read noise in products."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numba
import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.random_kernels import normal_pair, philox4x32


@compiled(parallel=True)
def add_normals(sums, sigma, lines, arrays, key, counter):  # pragma: no cover  (compiled)
    """sums += sigma · z, one standard normal draw for every sum; O(n · columns), 8 to 12 ns a sum on one core.

    sums, sigma: (n, columns) float32; lines, arrays: (columns,) uint64, place of every column; key: uint64 (low, high)
    of the seed; counter: uint64 (first vector, last counter word).
    """
    n, columns = sums.shape
    k0, k1, first, last = key[0], key[1], counter[0], counter[1]
    for i in numba.prange(n):
        vector = (first + np.uint64(i)) & np.uint64(0xFFFFFFFF)
        for c in range(columns):
            w0, w1, _, _ = philox4x32(lines[c], vector, arrays[c], last, k0, k1)
            z, _ = normal_pair(w0, w1)
            sums[i, c] += np.float32(np.float64(sigma[i, c]) * z)
