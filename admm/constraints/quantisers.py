"""Quantisation sets whose level values follow a formula: uniform, power of two, binary, ternary."""

from __future__ import annotations

import math
from typing import Annotated, Literal, final

import numpy as np
from pydantic import ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from admm.constraints.levels import Per, Scale, Scaled, check_per
from crossbar.scale import round_scale

STRICT = ConfigDict(extra="forbid")
Bits = Annotated[int, Strict(), Field(ge=1, le=12)]
Exponents = Annotated[int, Strict(), Field(ge=1, le=24)]


@final
@dataclass(frozen=True, config=STRICT)
class Uniform(Scaled):
    """Every live weight is a whole multiple of a step.

    bits: the step's multiples are ±1 … ±2^(bits − 1), 2^bits levels, none of them zero (the usual choice for weights
    that survived pruning, Ye et al. 2019, arXiv 1903.09769); with zero = True they are 0, ±1 … ±(2^(bits − 1) − 1).
    scale: the largest level, 2^(bits − 1) steps (or 2^(bits − 1) − 1); "fit" learns it (so the step too) by exact
    least squares at every projection (`crossbar.scale.fit_scale`). per: "channel" for a step of every filter.
    """

    bits: Bits
    zero: bool = False
    scale: Scale = "fit"
    per: Per = "layer"
    kind: Literal["uniform"] = "uniform"

    @model_validator(mode="after")
    def _check(self) -> Uniform:
        check_per(self)
        if self.zero and self.bits < 2:
            raise ValueError("uniform levels with a zero need bits of at least 2 (−1, 0, 1)")
        return self

    def unit(self) -> np.ndarray:
        """See `Scaled.unit`."""
        top = 2 ** (self.bits - 1) - self.zero
        steps = np.arange(-top, top + 1)
        return (steps if self.zero else steps[steps != 0]) / top


@final
@dataclass(frozen=True, config=STRICT)
class PowerOfTwo(Scaled):
    """Every live weight is ± scale · 2^−k for k = 0 … exponents − 1, or 0 if `zero` is True.

    shift: the scale is a power of two itself, so that a product is a shift (Zhou et al. 2017, INQ, arXiv 1702.03044);
    False: any scale. scale: a number, or "fit": least squares, the exact optimum in either case (with shift every
    exponent that can be best is tried). per: "channel" for a scale of every filter. Nearest is in Euclid's sense,
    halfway between two levels, not between two exponents.
    """

    exponents: Exponents
    zero: bool = False
    scale: Scale = "fit"
    per: Per = "layer"
    shift: bool = True
    kind: Literal["power_of_two"] = "power_of_two"

    @model_validator(mode="after")
    def _check(self) -> PowerOfTwo:
        check_per(self)
        if self.shift and not isinstance(self.scale, str) and math.frexp(self.scale)[0] != 0.5:
            raise ValueError(f"scale = {self.scale} is no power of two: give one, or shift = False")
        return self

    def unit(self) -> np.ndarray:
        """See `Scaled.unit`."""
        positive = 2.0 ** np.arange(1 - self.exponents, 1)
        return np.concatenate([-positive[::-1], [0.0] * self.zero, positive])

    def _fitted(self, weights: np.ndarray) -> float:
        if not self.shift:
            return super()._fitted(weights)
        magnitudes = np.abs(weights[weights != 0])
        if not magnitudes.size:
            return 1.0
        # Above `high` even the smallest level is over every weight; below `low` every weight is over the largest.
        low = math.floor(math.log2(magnitudes.min())) - 1
        high = math.ceil(math.log2(magnitudes.max())) + self.exponents
        unit, ordered = self.unit(), np.sort(weights)
        middles, sums = (unit[1:] + unit[:-1]) / 2, np.concatenate([[0.0], np.cumsum(ordered)])

        def error(scale: float) -> float:  # Σ(w − q)² less Σw²
            edges = np.concatenate([[0], np.searchsorted(ordered, scale * middles, side="right"), [ordered.size]])
            return float((scale * unit) ** 2 @ np.diff(edges) - 2 * (scale * unit) @ np.diff(sums[edges]))

        return min((2.0**e for e in range(high, low - 1, -1)), key=error)

    def _allowed(self, scale: float) -> float:
        return 2.0 ** round(math.log2(scale)) if self.shift else super()._allowed(scale)


@final
@dataclass(frozen=True, config=STRICT)
class Binary(Scaled):
    """Every live weight is +a or −a.

    scale: a, or "fit": the least-squares a = mean |w| over the live weights, with the sign of each (closed form;
    Rastegari et al. 2016, XNOR-Net, arXiv 1603.05279, equation 6). A zero weight goes to −a, as a tie does.
    per: "channel" for an a of every filter.
    """

    scale: Scale = "fit"
    per: Per = "layer"
    kind: Literal["binary"] = "binary"

    @model_validator(mode="after")
    def _check(self) -> Binary:
        check_per(self)
        return self

    def unit(self) -> np.ndarray:
        """See `Scaled.unit`."""
        return np.array([-1.0, 1.0])

    def _fitted(self, weights: np.ndarray) -> float:
        mean = float(np.mean(np.abs(weights))) if weights.size else 0.0
        return round_scale(mean) if mean else 1.0


@final
@dataclass(frozen=True, config=STRICT)
class Ternary(Scaled):
    """Every live weight is −a, 0 or +a.

    scale: a, or "fit": of the magnitudes in descending order, the first k become a = their mean, for the k that
    maximises (their sum)² / k; sorting makes that the global least-squares optimum in O(n log n) (Li et al. 2016,
    Ternary weight networks, arXiv 1605.04711, approximate the same problem by a threshold of 0.7 mean |w|).
    per: "channel" for an a of every filter.
    """

    scale: Scale = "fit"
    per: Per = "layer"
    kind: Literal["ternary"] = "ternary"

    @model_validator(mode="after")
    def _check(self) -> Ternary:
        check_per(self)
        return self

    def unit(self) -> np.ndarray:
        """See `Scaled.unit`."""
        return np.array([-1.0, 0.0, 1.0])

    def _fitted(self, weights: np.ndarray) -> float:
        sums = np.cumsum(np.sort(np.abs(weights))[::-1])
        if not sums.size or not sums[-1]:
            return 1.0
        counts = np.arange(1, sums.size + 1)
        best = int(np.argmax(sums**2 / counts))
        return round_scale(float(sums[best] / counts[best]))
