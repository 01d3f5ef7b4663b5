"""Compiled kernels of the stages besides programming: faults that neighbours share, drift, noise, verified writing.

Every kernel takes a block of cells (arrays, rows, cols), `origin`: uint64 (array, row, column) of its first cell,
`key`: uint64 (low, high), and `last`: the last counter word of the draw; see `random` and `mismatch_kernels`.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math

import numba
import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.mismatch_kernels import (
    apply_curve,
    apply_lognormal,
    apply_polynomial,
    curve_value,
    normals,
    philox4x32,
)


@compiled(parallel=True)
def single_codes(out, origin, key, last, lrs, both):
    """Code 1 where a cell's word is below `lrs`, 2 where it is below `both`; out: int8."""
    arrays, rows, cols = out.shape
    k0, k1 = key[0], key[1]
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        for c in range(cols):
            word, _, _, _ = philox4x32(
                origin[2] + np.uint64(c), origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, k0, k1
            )
            if word < both:
                out[a, r, c] = 1 if word < lrs else 2


@compiled(parallel=True)
def cluster_codes(out, origin, key, last, limit, size, code):
    """`code` where a rectangle of size (rows, cols) that ends at or behind a cell covers it; out: int8.

    A rectangle ends at row i, column j where that cell's word is below `limit`; ends beyond the array count too.
    """
    arrays, rows, cols = out.shape
    high, wide = size[0], size[1]
    k0, k1 = key[0], key[1]
    for a in numba.prange(arrays):
        depth = np.zeros(cols + wide - 1, dtype=np.int64)  # rows below which the nearest end above has run out
        for r in range(rows + high - 2, -1, -1):
            reach = 0
            for c in range(cols + wide - 2, -1, -1):
                word, _, _, _ = philox4x32(
                    origin[2] + np.uint64(c), origin[1] + np.uint64(r), origin[0] + np.uint64(a), last, k0, k1
                )
                depth[c] = high if word < limit else max(depth[c] - 1, 0)
                reach = wide if depth[c] > 0 else max(reach - 1, 0)
                if reach > 0 and r < rows and c < cols:
                    out[a, r, c] = code


@compiled(parallel=True)
def power_drift(g, out, origin, key, last, nu, nu_sigma, g_max, log_ratio):
    """out = g · exp(−|ν + σ z| · log_ratio), ν and σ packed curves of g / g_max."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        normals(out[a, r], origin[0] + np.uint64(a), origin[1] + np.uint64(r), origin[2], last, key[0], key[1])
        for c in range(cols):
            value = g[a, r, c]
            if value > 0.0:
                x = value / g_max
                exponent = abs(curve_value(nu, x) + max(curve_value(nu_sigma, x), 0.0) * out[a, r, c])
                out[a, r, c] = value * math.exp(-exponent * log_ratio)
            else:
                out[a, r, c] = 0.0


@compiled(parallel=True)
def additive_drift(g, out, origin, key, last, sigma_now, sigma_start, shift_now, shift_start, g_max):
    """out = max(0, g + g_max · (shift + √max(σ² − σ₀², 0) z)), all packed curves of g / g_max."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        normals(out[a, r], origin[0] + np.uint64(a), origin[1] + np.uint64(r), origin[2], last, key[0], key[1])
        for c in range(cols):
            value = g[a, r, c]
            if value > 0.0:
                x = value / g_max
                now, start = curve_value(sigma_now, x), curve_value(sigma_start, x)
                sigma = math.sqrt(max(now * now - start * start, 0.0))
                shift = curve_value(shift_now, x) - curve_value(shift_start, x)
                out[a, r, c] = max(value + g_max * (shift + sigma * out[a, r, c]), 0.0)
            else:
                out[a, r, c] = 0.0


@compiled(parallel=True)
def telegraph(g, out, origin, key, last, share, duty, low):
    """out = low · g where the cell has a trap (first word below `share`) that is full at this read, else g."""
    arrays, rows, cols = g.shape
    k0, k1 = key[0], key[1]
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        array, row = origin[0] + np.uint64(a), origin[1] + np.uint64(r)
        for c in range(cols):
            trap, _, _, _ = philox4x32(origin[2] + np.uint64(c), row, array, last[0], k0, k1)
            full, _, _, _ = philox4x32(origin[2] + np.uint64(c), row, array, last[1], k0, k1)
            out[a, r, c] = g[a, r, c] * low if trap < share and full < duty else g[a, r, c]


@compiled(parallel=True)
def read_sigma(g, out, curve, of_g, g_max, factor):
    """out = σ of the read noise [S]: factor · curve(g / g_max) · (g or g_max); 0 where g is 0."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        for c in range(cols):
            value = g[a, r, c]
            if value > 0.0:
                scale = value if of_g else g_max
                out[a, r, c] = max(curve_value(curve, value / g_max), 0.0) * factor * scale
            else:
                out[a, r, c] = 0.0


@compiled(parallel=True)
def read_noise(g, sigma, out, origin, key, last):
    """out = max(0, g + σ z), σ [S] of every cell."""
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        normals(out[a, r], origin[0] + np.uint64(a), origin[1] + np.uint64(r), origin[2], last, key[0], key[1])
        for c in range(cols):
            out[a, r, c] = max(g[a, r, c] + sigma[a, r, c] * out[a, r, c], 0.0)


@compiled(parallel=True)
def column_normals(out, origin, key, last):
    """Standard normal draws of the columns of an array at consecutive reads: out (reads, cols), `last` of the first."""
    for n in numba.prange(out.shape[0]):
        normals(out[n], origin[0], origin[1], origin[2], last + np.uint64(n), key[0], key[1])


@compiled()
def one_try(out, g, lognormal, coefficients, curve, g_max):
    """Normal draws of a row become conductances with the programming error."""
    if lognormal > 0.0:
        apply_lognormal(out, g, lognormal)
    elif coefficients.size > 0:
        apply_polynomial(out, g, coefficients, g_max)
    elif curve.size > 0:
        apply_curve(out, g, curve, g_max)
    else:
        out[:] = g


@compiled(parallel=True)
def verified(g, out, pulses, codes, values, origin, key, last, lognormal, coefficients, curve, g_max, window):
    """Write the cells again and again until they stand within ± window [S] of g.

    pulses: int32, holds the most that are allowed and gets what was needed, one more where the last try failed too.
    codes: int8 fault map, values: conductance [S] of each code; a faulty cell stays at its own. Try k draws as read k.
    """
    arrays, rows, cols = g.shape
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        target, result, spent = g[a, r], out[a, r], pulses[a, r]
        trial, limit = np.empty(cols), spent[0] if cols > 0 else 0
        spent[:] = limit + 1
        left = cols
        for k in range(limit):
            if left == 0:
                break
            normals(
                trial,
                origin[0] + np.uint64(a),
                origin[1] + np.uint64(r),
                origin[2],
                last + np.uint64(k),
                key[0],
                key[1],
            )
            one_try(trial, target, lognormal, coefficients, curve, g_max)
            for c in range(cols):
                if spent[c] > limit:
                    result[c] = trial[c] if codes[a, r, c] == 0 else values[codes[a, r, c]]
                    if target[c] == 0.0:
                        result[c] = 0.0
                    if abs(result[c] - target[c]) <= window:
                        spent[c] = 0 if target[c] == 0.0 else k + 1
                        left -= 1
