"""Compiled kernels of the mismatch model: plain arrays and scalars in, no temporaries beyond the result.

The logarithm, cosine and exponential are written out here in additions, multiplications, one division and one square
root, each of which IEEE 754 rounds in one way only. So a draw is the same bit for bit on every machine, in a vector
lane or in the rest of a loop, which library functions do not promise; and the compiler can work on several cells at
once. Each is within a few units in the last place (tests compare with NumPy).
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math

import numba
import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.curves import CLIPPED_LOG, POLYNOMIAL, POWER, SATURATING

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum is ln 2 to 33 more bits
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)  # √½ as the bits of a float64


@compiled(inline="always")
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 on 32-bit words held in uint64; the twin of `random.philox4x32`."""
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@compiled(inline="always")
def minus_log(word):
    """−ln u for u = (word + ½) / 2³², never 0 or negative.

    Reduction and coefficients of the logarithm in Sun's fdlibm (e_log.c): u = m · 2ᵏ with m from √½ to √2, then an odd
    series in s = f / (2 + f), f = m − 1.
    """
    bits = np.float64(np.int64(word) * 2 + 1).view(np.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> 52
    f = np.int64(bits - (exponent << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = 1.818357216161805012e-01 + z * (1.531383769920937332e-01 + z * 1.479819860511658591e-01)
    series = 2.857142874366239149e-01 + z * (2.222219843214978396e-01 + z * series)
    series = z * (6.666666666666735130e-01 + z * (3.999999999940941908e-01 + z * series))
    half_square = 0.5 * f * f
    k = np.float64(exponent - 33)
    return ((half_square - (s * (half_square + series) + k * _LN2_LOW)) - f) - k * _LN2_HIGH


@compiled(inline="always")
def cosine_of_turn(word):
    """cos 2πv for v = word / 2³².

    The quarter turn is cut off in whole numbers, so nothing is lost there; coefficients of fdlibm (k_sin.c, k_cos.c)
    on ±π/4.
    """
    w = np.int64(word)
    quarter = (w + (1 << 29)) >> 30
    x = np.float64(w - (quarter << 30)) * 1.4629180792671596e-09  # 2π / 2³²
    z = x * x
    c = 2.48015872894767294178e-05 + z * (
        -2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)
    )
    c = 4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * c)
    cosine = 1.0 - 0.5 * z + z * z * c
    s = 2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)
    s = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * s)
    sine = x + x * z * (-1.66666666666666324348e-01 + z * s)
    value = sine if quarter & 1 else cosine
    return -value if (quarter + 1) & 2 else value


@compiled(inline="always")
def exponential(y):
    """exp y for |y| ≤ 700 (beyond, exp ±700): 2ᵏ times a Taylor series of degree 13 on ±½ ln 2."""
    y = -700.0 if y < -700.0 else y
    y = 700.0 if y > 700.0 else y
    k = np.floor(y * 1.4426950408889634 + 0.5)
    r = (y - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1 / 3628800 + r * (1 / 39916800 + r * (1 / 479001600 + r * (1 / 6227020800)))
    p = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * p))
    p = 1 / 24 + r * (1 / 120 + r * (1 / 720 + r * p))
    p = 1.0 + r * (1.0 + r * (0.5 + r * (1 / 6 + r * p)))
    return p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@compiled()
def normals(out, array, row, column, last, k0, k1):
    """Standard normal draws of the cells of one row, written to out (cols,): Box–Muller on the first two words."""
    for c in range(out.size):
        w0, w1, _, _ = philox4x32(column + np.uint64(c), row, array, last, k0, k1)
        out[c] = math.sqrt(2.0 * minus_log(w0)) * cosine_of_turn(w1)


@compiled()
def apply_lognormal(out, g, sigma):
    """Normal draws in `out` become conductances g · e^(σ z) [S]."""
    for c in range(out.size):
        out[c] = g[c] * exponential(sigma * out[c])


@compiled()
def apply_polynomial(out, g, coefficients, g_max):
    """Normal draws in `out` become conductances max(0, g + σ(g/g_max) z) [S], 0 where g is 0."""
    for c in range(out.size):
        x = g[c] / g_max
        sigma = 0.0
        for i in range(coefficients.size - 1, -1, -1):
            sigma = sigma * x + coefficients[i]
        out[c] = max(g[c] + max(sigma, 0.0) * out[c], 0.0) if g[c] > 0.0 else 0.0


@compiled(inline="always")
def _polynomial(c, first, x):
    """Horner's rule on c[first:]."""
    y = 0.0
    for i in range(c.size - 1, first - 1, -1):
        y = y * x + c[i]
    return y


@compiled()
def apply_faults(out, g, array, row, column, last, k0, k1, g_min, g_max, stuck_lrs, stuck_any):
    """Cells of a row are stuck at g_max [S] where their word is below stuck_lrs, else at g_min below stuck_any."""
    for c in range(out.size):
        word, _, _, _ = philox4x32(column + np.uint64(c), row, array, last, k0, k1)
        value = g_max if word < stuck_lrs else g_min
        out[c] = value if g[c] > 0.0 and word < stuck_any else out[c]


@compiled(inline="always")
def curve_value(c, x):
    """The packed curve `c` at x > 0; see `curves`."""
    code = int(c[0])
    if code == POLYNOMIAL:
        return _polynomial(c, 1, x)
    if code == CLIPPED_LOG:
        if c.size > 6 and x >= c[5]:
            return _polynomial(c, 6, x)
        return min(max(c[1] * math.log(x) + c[2], c[3]), c[4])
    if code == POWER:
        return min(c[1] * x ** c[2], c[3])
    if code == SATURATING:
        return c[1] * (1.0 - math.exp(-x / c[2]))
    n = int(c[1])
    if x <= c[2]:
        return c[2 + n]
    for i in range(n - 1):
        x0, x1 = c[2 + i], c[3 + i]
        if x <= x1:
            y0, y1 = c[2 + n + i], c[3 + n + i]
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return c[1 + 2 * n]


@compiled()
def apply_curve(out, g, curve, g_max):
    """Normal draws in `out` become conductances max(0, g + σ z) [S], σ = g_max · curve(g / g_max); 0 where g is 0."""
    for c in range(out.size):
        if g[c] > 0.0:
            out[c] = max(g[c] + g_max * max(curve_value(curve, g[c] / g_max), 0.0) * out[c], 0.0)
        else:
            out[c] = 0.0


@compiled(parallel=True)
def program_cells(g, out, origin, key, last, lognormal, coefficients, curve, limits, thresholds):
    """Programming error and faults of every cell of g (arrays, rows, cols) [S], written to `out`.

    origin: uint64 (array, row, column) of g[0, 0, 0]; key: uint64 (low, high); last: uint64 counter words of
    (programming, fault); lognormal: σ of ln g, or 0; coefficients: σ [S] = Σ cᵢ (g/g_max)ⁱ of the additive error, or
    empty; curve: packed σ / g_max over g / g_max, or empty; limits: (g_min, g_max) [S]; thresholds: uint64, stuck at
    LRS below the first, at HRS below the second.
    """
    arrays, rows, _ = g.shape
    # Scalars are read out here: behind an array the compiler could not rule out that a result overwrites them.
    k0, k1, g_min, g_max = key[0], key[1], limits[0], limits[1]
    stuck_lrs, stuck_any = thresholds[0], thresholds[1]
    for line in numba.prange(arrays * rows):
        a, r = line // rows, line % rows
        array, row = origin[0] + np.uint64(a), origin[1] + np.uint64(r)
        if lognormal > 0.0:
            normals(out[a, r], array, row, origin[2], last[0], k0, k1)
            apply_lognormal(out[a, r], g[a, r], lognormal)
        elif coefficients.size > 0:
            normals(out[a, r], array, row, origin[2], last[0], k0, k1)
            apply_polynomial(out[a, r], g[a, r], coefficients, g_max)
        elif curve.size > 0:
            normals(out[a, r], array, row, origin[2], last[0], k0, k1)
            apply_curve(out[a, r], g[a, r], curve, g_max)
        else:
            out[a, r] = g[a, r]
        if stuck_any > 0:
            apply_faults(out[a, r], g[a, r], array, row, origin[2], last[1], k0, k1, g_min, g_max, stuck_lrs, stuck_any)
