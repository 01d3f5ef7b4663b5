"""A number that depends on conductance, written down as data: σ, a drift exponent, a relative noise.

Every curve is a function of x = g / g_max (no unit) that returns a number without a unit; what it is a share of, says
the field that holds it. One set of formulas here serves NumPy and torch; the compiled form is in `curve_kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from hwmodels.errors import UserError
from hwmodels.quantities import NonNegative, Positive

_SPEC = ConfigDict(extra="forbid")

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Numbers = Annotated[tuple[Number, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Polynomial:
    """y = Σ cᵢ xⁱ with `coeffs` = (c₀, c₁, …)."""

    coeffs: Numbers
    kind: Literal["polynomial"] = "polynomial"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class ClippedLog:
    """y = slope · ln x + offset, held within low … high; from x ≥ `above` on the polynomial `coeffs` instead."""

    slope: Number
    offset: Number
    low: Number = 0.0
    high: Number
    above: Positive | None = None
    coeffs: tuple[Number, ...] = ()
    kind: Literal["clipped-log"] = "clipped-log"

    @model_validator(mode="after")
    def _consistent(self) -> ClippedLog:
        """Bounds in order; a second branch has both its start and its coefficients."""
        if self.low > self.high:
            raise UserError(f"low = {self.low!r} is above high = {self.high!r}: exchange them")
        if (self.above is None) != (not self.coeffs):
            raise UserError("`above` and `coeffs` belong together: give both or neither")
        return self


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Power:
    """y = min(factor · x^exponent, cap); without `cap` unbounded."""

    factor: NonNegative
    exponent: Number
    cap: Positive | None = None
    kind: Literal["power"] = "power"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Saturating:
    """y = top · (1 − exp(−x / scale))."""

    top: NonNegative
    scale: Positive
    kind: Literal["saturating"] = "saturating"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Table:
    """y by straight lines between the points (x, y), and level outside them; x ascends."""

    x: Numbers
    y: Numbers
    kind: Literal["table"] = "table"

    @model_validator(mode="after")
    def _consistent(self) -> Table:
        """As many x as y, and x in order."""
        if len(self.x) != len(self.y):
            raise UserError(f"x lists {len(self.x)} points, y {len(self.y)}: they go in pairs")
        if any(a >= b for a, b in zip(self.x, self.x[1:], strict=False)):
            raise UserError(f"x = {list(self.x)} does not ascend: sort the points and drop repeated ones")
        return self


Curve = Annotated[Polynomial | ClippedLog | Power | Saturating | Table, Field(discriminator="kind")]
"""The shapes, told apart by `kind`."""

POLYNOMIAL, CLIPPED_LOG, POWER, SATURATING, TABLE = range(1, 6)


def constant(value: float) -> Polynomial:
    """The curve that is `value` everywhere."""
    return Polynomial(coeffs=(float(value),))


def packed(curve: Any) -> np.ndarray:
    """A curve as the kernels take it: float64 [code, numbers …]."""
    match curve:
        case Polynomial():
            numbers = (POLYNOMIAL, *curve.coeffs)
        case ClippedLog():
            split = math.inf if curve.above is None else curve.above
            numbers = (CLIPPED_LOG, curve.slope, curve.offset, curve.low, curve.high, split, *curve.coeffs)
        case Power():
            numbers = (POWER, curve.factor, curve.exponent, math.inf if curve.cap is None else curve.cap)
        case Saturating():
            numbers = (SATURATING, curve.top, curve.scale)
        case Table():
            numbers = (TABLE, len(curve.x), *curve.x, *curve.y)
        case _:
            raise AssertionError(f"no such curve: {curve!r}")
    return np.array(numbers, dtype=np.float64)


def value(xp: Any, curve: np.ndarray, x: Any) -> Any:
    """The packed curve at x > 0; xp is `numpy` or `torch`, x an array of it, and so is the result."""
    code, c = int(curve[0]), [float(number) for number in curve[1:]]
    if code == POLYNOMIAL:
        return horner(c, x)
    if code == CLIPPED_LOG:
        slope, offset, low, high, split, *coefficients = c
        below = xp.clip(slope * xp.log(x) + offset, low, high)
        return xp.where(x >= split, horner(coefficients, x), below) if coefficients else below
    if code == POWER:
        factor, exponent, cap = c
        return xp.clip(factor * x**exponent, None, cap)
    if code == SATURATING:
        top, scale = c
        return top * (1.0 - xp.exp(-x / scale))
    return _interpolated(xp, c[1 : 1 + int(c[0])], c[1 + int(c[0]) :], x)


def horner(coefficients: Sequence[float], x: Any) -> Any:
    """Σ cᵢ xⁱ by Horner's rule; 0 for no coefficients."""
    y = 0.0 * x
    for coefficient in reversed(coefficients):
        y = y * x + coefficient
    return y


def _interpolated(xp: Any, nodes: list[float], values: list[float], x: Any) -> Any:
    """Straight lines as a sum of ramps, which needs no look-up and so reads the same in NumPy and torch."""
    y = 0.0 * x + values[0]
    for x0, x1, y0, y1 in zip(nodes, nodes[1:], values, values[1:], strict=False):
        y = y + (y1 - y0) * xp.clip((x - x0) / (x1 - x0), 0.0, 1.0)
    return y
