"""Compiled kernels of the stages besides programming: faults that neighbours share, drift, noise, verified writing.

Every kernel takes a block of cells (arrays, rows, cols), `origin`: uint64 (array, row, column) of its first cell,
`key`: uint64 (low, high), and `last`: the last counter word of the draw; see `random`. Where a kernel reads `g` and
writes `out`, both may be the same memory: a row is worked out beside it, which also keeps the loops free of overlap.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math

import numba
import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.curve_kernels import curve_row
from hwmodels.devices.elementary_kernels import exponential
from hwmodels.devices.mismatch_kernels import one_try
from hwmodels.devices.random_kernels import normals, one_word, words


@compiled(parallel=True)
def cell_words(out, origin, key, last):
    """The word of every cell; out: uint32."""
    arrays, rows, cols = out.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        word = np.empty(cols, dtype=np.uint64)
        words(word, origin[2], origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, key[0], key[1])
        out[a, r] = word


@compiled(parallel=True)
def single_codes(out, origin, key, last, lrs, both):
    """Code 1 where a cell's word is below `lrs`, 2 where it is below `both`, else 0; out: int8."""
    arrays, rows, cols = out.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        word = np.empty(cols, dtype=np.uint64)
        words(word, origin[2], origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, key[0], key[1])
        for c in range(cols):
            out[a, r, c] = np.int8(word[c] < both) * np.int8(2) - np.int8(word[c] < lrs)


@compiled(parallel=True)
def cluster_codes(out, origin, key, last, limit, size, code):
    """`code` where a rectangle of size (rows, cols) that ends at or behind a cell covers it; out: int8.

    A rectangle ends at row i, column j where that cell's word is below `limit`; ends beyond the array count too.
    """
    arrays, rows, cols = out.shape
    high, wide = size[0], size[1]
    for a in numba.prange(arrays):
        depth = np.zeros(cols + wide - 1, dtype=np.int64)  # rows below which the nearest end above has run out
        word = np.empty(cols + wide - 1, dtype=np.uint64)
        for r in range(rows + high - 2, -1, -1):
            words(word, origin[2], origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, key[0], key[1])
            reach = 0
            for c in range(cols + wide - 2, -1, -1):
                depth[c] = high if word[c] < limit else max(depth[c] - 1, 0)
                reach = wide if depth[c] > 0 else max(reach - 1, 0)
                if reach > 0 and r < rows and c < cols:
                    out[a, r, c] = code


@compiled()
def _power_drifted(z, g, nu, sigma, log_ratio):
    """Draws z of a row become g · exp(−|ν + max(σ, 0) z| · log_ratio)."""
    for c in range(z.size):
        exponent = nu[c] + (sigma[c] if sigma[c] > 0.0 else 0.0) * z[c]
        z[c] = g[c] * exponential(-abs(exponent) * log_ratio)


@compiled(parallel=True)
def power_drift(g, out, origin, key, last, nu, nu_sigma, g_max, log_ratio):
    """out = g · exp(−|ν + σ z| · log_ratio), ν and σ packed curves of g / g_max."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        z, mean, sigma, spare = np.empty(cols), np.empty(cols), np.empty(cols), np.empty(cols)
        normals(z, origin[2], origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, key[0], key[1])
        curve_row(mean, g[a, r], g_max, nu, spare)
        curve_row(sigma, g[a, r], g_max, nu_sigma, spare)
        _power_drifted(z, g[a, r], mean, sigma, log_ratio)
        out[a, r] = z


@compiled()
def _widened(now, start):
    """`now` becomes √max(now² − start², 0)."""
    for c in range(now.size):
        square = now[c] * now[c] - start[c] * start[c]
        now[c] = math.sqrt(square if square > 0.0 else 0.0)


@compiled()
def _additively_drifted(z, g, shift, sigma, g_max):
    """Draws z of a row become max(0, g + g_max (shift + σ z)), 0 where g is 0."""
    for c in range(z.size):
        value = g[c] + g_max * (shift[c] + sigma[c] * z[c])
        z[c] = value if g[c] > 0.0 and value > 0.0 else 0.0


@compiled(parallel=True)
def additive_drift(g, out, origin, key, last, sigma_now, sigma_start, shift_now, shift_start, g_max):
    """out = max(0, g + g_max · (shift + √max(σ² − σ₀², 0) z)), all packed curves of g / g_max."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        z, sigma, shift, other, spare = np.empty(cols), np.empty(cols), np.empty(cols), np.empty(cols), np.empty(cols)
        normals(z, origin[2], origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, key[0], key[1])
        curve_row(sigma, g[a, r], g_max, sigma_now, spare)
        curve_row(other, g[a, r], g_max, sigma_start, spare)
        _widened(sigma, other)
        curve_row(shift, g[a, r], g_max, shift_now, spare)
        curve_row(other, g[a, r], g_max, shift_start, spare)
        for c in range(cols):
            shift[c] -= other[c]
        _additively_drifted(z, g[a, r], shift, sigma, g_max)
        out[a, r] = z


@compiled(parallel=True)
def telegraph(g, out, origin, key, last, share, duty, low):
    """out = low · g where the cell has a trap (its word below `share`) that is full at this read, else g."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        array, row = origin[0] + np.uint64(a), origin[1] + np.uint64(r)
        trap, full = np.empty(cols, dtype=np.uint64), np.empty(cols, dtype=np.uint64)
        words(trap, origin[2], row, array, last[0], key[0], key[1])
        words(full, origin[2], row, array, last[1], key[0], key[1])
        for c in range(cols):
            out[a, r, c] = g[a, r, c] * low if trap[c] < share and full[c] < duty else g[a, r, c]


@compiled()
def _last_state(column, row, array, last, keys, ends, counts, occupancy, full):
    """Whether the trap of a cell is full: the state of the last event in its windows, `full` where there is none."""
    for w in range(ends.size):
        k0, k1 = keys[w, 0], keys[w, 1]
        latest = np.int64(-1)
        word = one_word(column, row, array, last, k0, k1)
        for i in range(counts.size):
            if word < counts[i]:
                break
            place = np.int64(one_word(column, row, array, last + np.uint64(2 * i + 1), k0, k1))
            if latest < place < ends[w]:
                latest = place
                full = one_word(column, row, array, last + np.uint64(2 * i + 2), k0, k1) < occupancy
        if latest >= 0:
            break
    return full


@compiled(parallel=True)
def telegraph_in_time(g, out, origin, key, last, share, occupancy, low, keys, ends, counts):
    """The same with the states of `telegraph`; keys, ends: of its windows, counts: its thresholds (uint64, int64).

    last: counter words of (trap, state at time 0).
    """
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        array, row = origin[0] + np.uint64(a), origin[1] + np.uint64(r)
        trap, full = np.empty(cols, dtype=np.uint64), np.empty(cols, dtype=np.uint64)
        words(trap, origin[2], row, array, last[0], key[0], key[1])
        words(full, origin[2], row, array, last[1], key[0], key[1])
        for c in range(cols):
            value = g[a, r, c]
            if trap[c] < share:
                column, start = origin[2] + np.uint64(c), full[c] < occupancy
                if _last_state(column, row, array, last[1], keys, ends, counts, occupancy, start):
                    value = value * low
            out[a, r, c] = value


@compiled()
def sigma_row(out, g, curve, of_g, g_max, factor, spare):
    """σ of the read noise of a row [S]: factor · max(curve(g / g_max), 0) · (g or g_max); 0 where g is 0."""
    curve_row(out, g, g_max, curve, spare)
    for c in range(out.size):
        sigma = (out[c] if out[c] > 0.0 else 0.0) * factor * (g[c] if of_g else g_max)
        out[c] = sigma if g[c] > 0.0 else 0.0


@compiled(parallel=True)
def read_sigma(g, out, curve, of_g, g_max, factor):
    """σ of the read noise of every cell [S]; see `sigma_row`."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        sigma_row(out[a, r], g[a, r], curve, of_g, g_max, factor, np.empty(cols))


@compiled()
def _noisy(z, g, sigma):
    """Draws z of a row become max(0, g + σ z)."""
    for c in range(z.size):
        value = g[c] + sigma[c] * z[c]
        z[c] = value if value > 0.0 else 0.0


@compiled(parallel=True)
def read_noise(g, out, origin, key, last, curve, of_g, g_max, factor):
    """out = max(0, g + σ z) with the σ of `read_sigma`."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        z, sigma, spare = np.empty(cols), np.empty(cols), np.empty(cols)
        normals(z, origin[2], origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, key[0], key[1])
        sigma_row(sigma, g[a, r], curve, of_g, g_max, factor, spare)
        _noisy(z, g[a, r], sigma)
        out[a, r] = z


@compiled(parallel=True)
def column_normals(out, origin, key, last):
    """Standard normal draws of the columns of an array at consecutive reads: out (reads, cols), `last` of the first."""
    for n in numba.prange(out.shape[0]):
        normals(out[n], origin[2], origin[1], origin[0], last + np.uint64(n), key[0], key[1])


@compiled(parallel=True)
def verified(g, out, pulses, codes, values, origin, key, last, lognormal, curve, g_max, window):
    """Write the cells again and again until they stand within ± window [S] of g.

    pulses: int32, holds the most that are allowed and gets what was needed, one more where the last try failed too.
    codes: int8 fault map, values: conductance [S] of each code; a faulty cell stays at its own. Try k draws as read k.
    """
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        target, result, spent = g[a, r], out[a, r], pulses[a, r]
        trial, sigma, spare, limit = np.empty(cols), np.empty(cols), np.empty(cols), spent[0] if cols > 0 else 0
        spent[:] = limit + 1
        left = cols
        for k in range(limit):
            if left == 0:
                break
            again = last + np.uint64(k)
            normals(trial, origin[2], origin[1] + np.uint64(r), origin[0] + np.uint64(a), again, key[0], key[1])
            one_try(trial, target, lognormal, curve, g_max, sigma, spare)
            for c in range(cols):
                if spent[c] > limit:
                    result[c] = trial[c] if codes[a, r, c] == 0 else values[codes[a, r, c]]
                    if target[c] == 0.0:
                        result[c] = 0.0
                    if abs(result[c] - target[c]) <= window:
                        spent[c] = 0 if target[c] == 0.0 else k + 1
                        left -= 1
