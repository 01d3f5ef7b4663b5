"""Logarithm, exponential, sine and cosine of the compiled kernels, the same bits everywhere.

They are written out in additions, multiplications, one division and one square root, each of which IEEE 754 rounds in
one way only. So a result does not depend on the machine, nor on whether a cell fell into a vector lane or the rest of
a loop, which library functions do not promise; and the compiler can work on several cells at once. Each is within a few
units in the last place (tests compare with NumPy). Polynomials are grouped in pairs rather than nested, because a long
chain of dependent operations would leave most of the processor idle.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numpy as np

from hwmodels.compiling import compiled

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum is ln 2 to 33 more bits
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)  # √½ as the bits of a float64
_SHIFTER = 1.5 * 2.0**52  # a float64 whose last bit is worth 1
_SHIFTER_BITS = np.int64(0x4338000000000000)


@compiled(inline="always")
def as_real(i):
    """A whole number (int64, |i| < 2⁵¹) as float64; exact. AVX2 has no instruction for that, but has these two."""
    return np.int64(i + _SHIFTER_BITS).view(np.float64) - _SHIFTER


@compiled(inline="always")
def logarithm(x, halvings):
    """ln(x / 2^halvings) of a normal float64 x > 0 and a whole number.

    Reduction and coefficients of the logarithm in Sun's fdlibm (e_log.c): x = m · 2ᵏ with m from √½ to √2, then an odd
    series in s = f / (2 + f), f = m − 1.
    """
    bits = np.float64(x).view(np.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> 52
    f = np.int64(bits - (exponent << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    z2 = z * z
    high = 1.818357216161805012e-01 + z * (1.531383769920937332e-01 + z * 1.479819860511658591e-01)
    high = (2.857142874366239149e-01 + z * 2.222219843214978396e-01) + z2 * high
    series = z * (6.666666666666735130e-01 + z * 3.999999999940941908e-01) + (z * z2) * high
    half_square = 0.5 * f * f
    k = as_real(exponent - halvings)
    return k * _LN2_HIGH - ((half_square - (s * (half_square + series) + k * _LN2_LOW)) - f)


@compiled(inline="always")
def exponential(y):
    """exp y for |y| ≤ 700 (beyond, exp ±700): 2ᵏ times a Taylor series of degree 13 on ±½ ln 2."""
    y = -700.0 if y < -700.0 else y
    y = 700.0 if y > 700.0 else y
    shifted = y * 1.4426950408889634 + _SHIFTER  # rounds to whole numbers, which stand in the last bits
    k = shifted - _SHIFTER
    r = (y - k * _LN2_HIGH) - k * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    p0 = (1.0 + r) + r2 * (0.5 + r * (1 / 6))
    p4 = (1 / 24 + r * (1 / 120)) + r2 * (1 / 720 + r * (1 / 5040))
    p8 = (1 / 40320 + r * (1 / 362880)) + r2 * (1 / 3628800 + r * (1 / 39916800))
    p12 = 1 / 479001600 + r * (1 / 6227020800)
    power = np.int64((np.float64(shifted).view(np.int64) - _SHIFTER_BITS + 1023) << 52).view(np.float64)
    return (p0 + r4 * (p4 + r4 * (p8 + r4 * p12))) * power


@compiled(inline="always")
def cosine_and_sine_of_turn(word):
    """cos 2πv and sin 2πv for v = word / 2³².

    The quarter turn is cut off in whole numbers, so nothing is lost there; coefficients of fdlibm (k_sin.c, k_cos.c)
    on ±π/4. Signs are set as bits.
    """
    w = np.int64(word)
    quarter = (w + (1 << 29)) >> 30
    x = as_real(w - (quarter << 30)) * 1.4629180792671596e-09  # 2π / 2³²
    z = x * x
    z2 = z * z
    c = 2.08757232129817482790e-09 + z * -1.13596475577881948265e-11
    c = (2.48015872894767294178e-05 + z * -2.75573143513906633035e-07) + z2 * c
    c = (1.0 - 0.5 * z) + z2 * ((4.16666666666666019037e-02 + z * -1.38888888888741095749e-03) + z2 * c)
    s = 2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)
    s = (8.33333333332248946124e-03 + z * -1.98412698298579493134e-04) + z2 * s
    s = x + (x * z) * (-1.66666666666666324348e-01 + z * s)
    odd = (quarter & 1) != 0
    cosine, sine = s if odd else c, c if odd else s
    cosine_bits = np.float64(cosine).view(np.int64) ^ (((quarter + 1) & 2) << 62)
    sine_bits = np.float64(sine).view(np.int64) ^ ((quarter & 2) << 62)
    return np.int64(cosine_bits).view(np.float64), np.int64(sine_bits).view(np.float64)
