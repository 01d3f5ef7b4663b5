"""Compiled kernels of the mismatch model: plain arrays and scalars in, no temporaries beyond the result and some rows.

A row of cells is done step by step (draws, spread, result), each a loop that the compiler can turn into vector code.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numba
import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.curve_kernels import curve_row
from hwmodels.devices.elementary_kernels import exponential
from hwmodels.devices.random_kernels import normals, words


@compiled()
def apply_lognormal(out, g, sigma):
    """Normal draws in `out` become conductances g · e^(σ z) [S]."""
    for c in range(out.size):
        out[c] = g[c] * exponential(sigma * out[c])


@compiled()
def apply_additive(out, g, sigma, g_max):
    """Normal draws in `out` become conductances max(0, g + g_max σ z) [S], 0 where g is 0; sigma: a row, no unit."""
    for c in range(out.size):
        spread = sigma[c] if sigma[c] > 0.0 else 0.0
        value = g[c] + g_max * spread * out[c]
        out[c] = value if g[c] > 0.0 and value > 0.0 else 0.0


@compiled()
def one_try(out, g, lognormal, curve, g_max, sigma, spare):
    """Normal draws of a row become conductances with the programming error; sigma, spare: rows to write in."""
    if lognormal > 0.0:
        apply_lognormal(out, g, lognormal)
    elif curve.size > 0:
        curve_row(sigma, g, g_max, curve, spare)
        apply_additive(out, g, sigma, g_max)
    else:
        out[:] = g


@compiled()
def apply_faults(out, g, word, g_min, g_max, stuck_lrs, stuck_any):
    """Cells of a row are stuck at g_max [S] where their word is below stuck_lrs, else at g_min below stuck_any."""
    for c in range(out.size):
        value = g_max if word[c] < stuck_lrs else g_min
        out[c] = value if g[c] > 0.0 and word[c] < stuck_any else out[c]


@compiled(parallel=True)
def program_cells(g, out, origin, key, last, lognormal, curve, limits, thresholds):
    """Programming error and faults of every cell of g (arrays, rows, cols) [S], written to `out`.

    origin: uint64 (array, row, column) of g[0, 0, 0]; key: uint64 (low, high); last: uint64 counter words of
    (programming, fault); lognormal: σ of ln g, or 0; curve: packed σ / g_max over g / g_max, or empty; limits:
    (g_min, g_max) [S]; thresholds: uint64, stuck at LRS below the first, at HRS below the second.
    """
    arrays, rows, cols = g.shape
    # Scalars are read out here: behind an array the compiler could not rule out that a result overwrites them.
    k0, k1, g_min, g_max = key[0], key[1], limits[0], limits[1]
    stuck_lrs, stuck_any = thresholds[0], thresholds[1]
    lines = arrays * rows
    each = max(1, 4096 // max(cols, 1))  # rows in one piece of work, so that room for a row is asked for less often
    for piece in numba.prange((lines + each - 1) // each):
        sigma, spare, word = np.empty(cols), np.empty(cols), np.empty(cols, dtype=np.uint64)
        for line in range(piece * each, min((piece + 1) * each, lines)):
            a, r = line // rows, line % rows
            array, row = origin[0] + np.uint64(a), origin[1] + np.uint64(r)
            if lognormal > 0.0 or curve.size > 0:
                normals(out[a, r], origin[2], row, array, last[0], k0, k1)
                one_try(out[a, r], g[a, r], lognormal, curve, g_max, sigma, spare)
            else:
                out[a, r] = g[a, r]
            if stuck_any > 0:
                words(word, origin[2], row, array, last[1], k0, k1)
                apply_faults(out[a, r], g[a, r], word, g_min, g_max, stuck_lrs, stuck_any)
