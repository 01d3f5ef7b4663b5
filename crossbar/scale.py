"""The one number per layer that fits a set of levels to its weights: min over s > 0 of Σ (w − s·q(w/s))²."""

from __future__ import annotations

import math

import numpy as np

from hwmodels.errors import UserError

EVENT_LIMIT = 1 << 21
"""Up to so many (weight, level boundary) pairs the fit is exact; beyond, weights are binned first."""

LEVEL_LIMIT = 512
"""Of more levels than this, only so many take part in the global search for the scale."""

SCALE_BITS = 16
"""A fitted scale has so many significant bits: a relative step below 2e-5, far finer than any level set."""


def fit_scale(weights: np.ndarray, values: np.ndarray) -> float:
    """The scale s > 0 that minimises the squared distance of the weights to the levels s · values.

    weights: any shape, finite; values: ascending levels (L,). The distance is, over s, the lowest of many
    parabolas Σw² − 2sA + s²B, one per assignment of weights to levels, with A = Σwq and B = Σq². Its lowest
    point is the vertex of one of them, Σw² − A²/B, so it suffices to visit every assignment that occurs while
    s goes from ∞ to 0: each weight changes level where w/s passes the middle of two levels. All these events,
    sorted, give A and B by running sums: the global optimum, in O(N·L·log(N·L)).
    Beyond EVENT_LIMIT events (or LEVEL_LIMIT levels) the weights are gathered into narrow bins (and the levels
    thinned out) for the global search, and then assignment and s = A/B alternate on the real ones, which only
    descends: near the global optimum, without proof. The result is rounded to SCALE_BITS.

    Weights that are all zero fit at any scale: 1.0. Raises UserError when no positive scale is better than
    s → 0 (every weight has the sign that the levels lack).
    """
    w = np.asarray(weights, dtype=np.float64).reshape(-1)
    w = w[w != 0] if 0.0 in values else w
    if not np.any(w):
        return 1.0
    coarse = _thinned(values)
    room = EVENT_LIMIT // coarse.size
    mean, count = (w, np.ones_like(w)) if w.size <= room else _binned(w, room)
    scale = _sweep(mean, count, coarse)
    if w.size > room or coarse.size < values.size:
        # With levels finer than the search can see, the best scale just reaches the largest weight.
        starts = (scale, float(np.abs(w).max() / np.abs(values).max()))
        ordered = _Sorted(w)
        scale = min((_descend(ordered, s, values) for s in starts), key=lambda s: ordered.distance(s, values))
    return round_scale(scale)


def fit_scale_of_bins(count: np.ndarray, total: np.ndarray, power: float, values: np.ndarray) -> float:
    """`fit_scale` of weights that are known by narrow bins alone: near the optimum, in O(bins · log bins).

    count, total: (bins,) weights in each bin, in ascending order, and their sum; power: Σ w² of all. A bin is taken as
    `count` weights at its mean, so only the bins in which a level boundary falls are counted wrongly: with bins of
    1/n of the range the squared distance is within L/n of it for L levels.
    """
    full = count > 0
    count, mean = count[full], total[full] / count[full]
    if not np.any(mean):
        return 1.0
    coarse = _thinned(values)
    low, high = float(mean[0]), float(mean[-1])
    number = np.minimum(
        ((mean - low) / ((high - low) or 1.0) * (EVENT_LIMIT // coarse.size)).astype(np.int64),
        EVENT_LIMIT // coarse.size - 1,
    )
    wide = np.bincount(number, weights=count)
    sums = np.bincount(number, weights=mean * count)
    used = wide > 0
    scale = _sweep(sums[used] / wide[used], wide[used], coarse)
    starts = (scale, max(abs(low), abs(high)) / float(np.abs(values).max()))
    ordered = _Sorted(mean, count, power)
    return round_scale(min((_descend(ordered, s, values) for s in starts), key=lambda s: ordered.distance(s, values)))


def round_scale(scale: float) -> float:
    """A positive number rounded to SCALE_BITS significant bits, so that fitting again gives the same number."""
    mantissa, exponent = math.frexp(scale)
    return math.ldexp(round(math.ldexp(mantissa, SCALE_BITS)), exponent - SCALE_BITS)


def _thinned(values: np.ndarray) -> np.ndarray:
    """At most LEVEL_LIMIT of the levels, evenly spread by rank, the outermost among them."""
    if values.size <= LEVEL_LIMIT:
        return values
    return values[np.round(np.linspace(0, values.size - 1, LEVEL_LIMIT)).astype(np.intp)]


def _sweep(mean: np.ndarray, count: np.ndarray, values: np.ndarray) -> float:
    """Global optimum over s for weights `mean`, each counted `count` times."""
    middles = (values[1:] + values[:-1]) / 2
    start = np.where(mean > 0, np.searchsorted(middles, 0.0, side="right"), np.searchsorted(middles, 0.0, side="left"))
    a = float(np.sum(count * mean * values[start]))
    b = float(np.sum(count * values[start] ** 2))
    at, step_a, step_b = [np.array([np.inf])], [np.array([a])], [np.array([b])]
    for j, middle in enumerate(middles):
        crosses = mean * middle > 0
        sign = math.copysign(1.0, middle)  # away from zero: up for positive levels, down for negative ones
        outward = values[j + 1] - values[j], values[j + 1] ** 2 - values[j] ** 2
        at.append(mean[crosses] / middle)
        step_a.append(sign * count[crosses] * mean[crosses] * outward[0])
        step_b.append(sign * count[crosses] * outward[1])
    order = np.argsort(-np.concatenate(at), kind="stable")
    a_run = np.cumsum(np.concatenate(step_a)[order])
    b_run = np.cumsum(np.concatenate(step_b)[order])
    fits = (a_run > 0) & (b_run > 0)
    if not fits.any():
        raise UserError(
            "No positive scale brings the levels near the weights: the weights have the sign that the levels lack. "
            "Use levels of both signs."
        )
    gain = np.divide(a_run**2, b_run, out=np.zeros_like(a_run), where=fits)
    best = int(np.argmax(gain))
    return float(a_run[best] / b_run[best])


def _binned(w: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and number of the weights in each of `bins` equal intervals; empty ones are left out."""
    low, high = float(w.min()), float(w.max())
    width = (high - low) / bins or 1.0
    number = np.minimum(((w - low) / width).astype(np.int64), bins - 1)
    count = np.bincount(number, minlength=bins).astype(np.float64)
    total = np.bincount(number, weights=w, minlength=bins)
    full = count > 0
    return total[full] / count[full], count[full]


class _Sorted:
    """Weights in order with their running sums: one look at all of them costs O(L·log N) instead of O(N·log L)."""

    def __init__(self, w: np.ndarray, count: np.ndarray | None = None, power: float | None = None) -> None:
        """Sort once, O(N·log N); count: how many weights stand for each of the ascending w; power: Σ w² of all."""
        self.w = np.sort(w) if count is None else w
        self.sum = np.concatenate([[0.0], np.cumsum(self.w if count is None else self.w * count)])
        self.number = None if count is None else np.concatenate([[0.0], np.cumsum(count)])
        self.power = float(self.w @ self.w) if power is None else power

    def at(self, scale: float, values: np.ndarray) -> tuple[float, float]:
        """A = Σwq and B = Σq² with every weight on its nearest level of scale · values (a tie: the lower one)."""
        middles = (values[1:] + values[:-1]) / 2
        edges = np.concatenate([[0], np.searchsorted(self.w, scale * middles, side="right"), [self.w.size]])
        numbers = edges if self.number is None else self.number[edges]
        return float(values @ np.diff(self.sum[edges])), float(values**2 @ np.diff(numbers))

    def distance(self, scale: float, values: np.ndarray) -> float:
        """Squared distance of the weights to their nearest levels, Σw² − 2sA + s²B."""
        a, b = self.at(scale, values)
        return self.power - 2 * scale * a + scale**2 * b


def _descend(weights: _Sorted, scale: float, values: np.ndarray, rounds: int = 30) -> float:
    """Alternate nearest levels and the best scale for them until the scale stands still."""
    for _ in range(rounds):
        a, b = weights.at(scale, values)
        new = a / b
        if abs(new - scale) <= 1e-7 * scale:  # far below the rounding that follows
            break
        scale = new
    return scale
