"""The curves of `curves` over a row of cells, compiled: the kind is told apart once per row, not once per cell."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

from hwmodels.compiling import compiled
from hwmodels.devices.curves import CLIPPED_LOG, POLYNOMIAL, POWER, SATURATING
from hwmodels.devices.elementary_kernels import exponential, logarithm


@compiled(inline="always")
def _coefficient(c, first, n, i):
    """Coefficient i of n that begin at c[first]; 0 beyond."""
    return c[first + i] if i < n else 0.0


@compiled()
def polynomial_row(out, g, g_max, c, first):
    """Horner's rule on c[first:], four coefficients in a pass over the row."""
    n = c.size - first
    for k in range(out.size):
        out[k] = 0.0
    for i in range((n + 3) // 4 * 4 - 4, -1, -4):
        c0, c1 = _coefficient(c, first, n, i), _coefficient(c, first, n, i + 1)
        c2, c3 = _coefficient(c, first, n, i + 2), _coefficient(c, first, n, i + 3)
        for k in range(out.size):
            x = g[k] / g_max
            out[k] = (((out[k] * x + c3) * x + c2) * x + c1) * x + c0


@compiled()
def clipped_log_row(out, g, g_max, c):
    """slope · ln x + offset within low … high."""
    slope, offset, low, high = c[1], c[2], c[3], c[4]
    for k in range(out.size):
        y = slope * logarithm(g[k] / g_max, 0) + offset
        y = y if y > low else low
        out[k] = y if y < high else high


@compiled()
def second_branch(out, other, g, g_max, split):
    """What stands in `other` where x ≥ split."""
    for k in range(out.size):
        out[k] = other[k] if g[k] / g_max >= split else out[k]


@compiled()
def power_row(out, g, g_max, c):
    """min(factor · x^exponent, cap)."""
    factor, exponent, cap = c[1], c[2], c[3]
    for k in range(out.size):
        y = factor * exponential(exponent * logarithm(g[k] / g_max, 0))
        out[k] = y if y < cap else cap


@compiled()
def saturating_row(out, g, g_max, c):
    """top · (1 − exp(−x / scale))."""
    top, scale = c[1], c[2]
    for k in range(out.size):
        out[k] = top * (1.0 - exponential(-(g[k] / g_max) / scale))


@compiled()
def table_row(out, g, g_max, c):
    """Straight lines between points, as a sum of ramps."""
    n = int(c[1])
    for k in range(out.size):
        out[k] = c[2 + n]
    for i in range(n - 1):
        x0, width, rise = c[2 + i], c[3 + i] - c[2 + i], c[3 + n + i] - c[2 + n + i]
        for k in range(out.size):
            ramp = (g[k] / g_max - x0) / width
            ramp = ramp if ramp > 0.0 else 0.0
            out[k] += rise * (ramp if ramp < 1.0 else 1.0)


@compiled()
def curve_row(out, g, g_max, c, spare):
    """The packed curve `c` at x = g / g_max of a row, written to `out`; finite nonsense where g is 0.

    spare: another row, which is overwritten.
    """
    code = int(c[0])
    if code == POLYNOMIAL:
        polynomial_row(out, g, g_max, c, 1)
    elif code == CLIPPED_LOG:
        clipped_log_row(out, g, g_max, c)
        if c.size > 6:
            polynomial_row(spare, g, g_max, c, 6)
            second_branch(out, spare, g, g_max, c[5])
    elif code == POWER:
        power_row(out, g, g_max, c)
    elif code == SATURATING:
        saturating_row(out, g, g_max, c)
    else:
        table_row(out, g, g_max, c)
