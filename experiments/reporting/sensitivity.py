"""Which key matters: the share of a result's variance that each swept key explains by itself.

The share of key i is its first-order (main) effect S_i = Var(E[y | x_i]) / Var(y), the Sobol index of order one
(Sobol, Mathematics and Computers in Simulation 55, 2001; Saltelli et al., Global Sensitivity Analysis, 2008).

On a complete grid, with every value as likely as the others, it is a ratio of sums: eta² = SS_between / SS_total, the
classes being the values of the key; the shares add up to at most 1, and what is missing is interaction.

Elsewhere (random and Latin hypercube points, a search, a grid with failures) it is estimated from the points as they
are: a key with many values is cut into classes of about equal size, and chance is taken out of the ratio,
epsilon² = 1 − (1 − eta²) (n − 1) / (n − k) for n points in k classes (Kelley, PNAS 21, 1935). What a result changes
within a class is lost, so the estimate is a little low; where keys do not vary independently, shares overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

MAX_VALUES = 12
"""Values of a key that are classes by themselves; beyond, numbers are cut into classes of about equal size."""

MIN_POINTS = 5
"""Fewer points than this tell nothing about a key outside a complete grid."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """main: share of each key, None where it cannot be told; exact: of a complete grid; rest: 1 − their sum, of an
    exact one; noise: share of the variance that chips differ by (NaN: not known); points: with a known result.
    """

    main: Mapping[str, float | None]
    exact: bool
    rest: float
    noise: float
    points: int


def shares(
    factors: Mapping[str, np.ndarray],
    result: np.ndarray,
    *,
    complete: bool,
    error_variance: np.ndarray | None = None,
) -> Shares | None:
    """First-order shares of one result; None where it is known at no two points or does not vary.

    factors: key → (n,) values (numbers or texts); result: (n,), NaN where not known; complete: whether the points are
    every combination of the keys' values, once each (a result that is missing makes it incomplete).
    error_variance: (n,) variance of each result by itself, of a mean over chips.
    """
    known = np.isfinite(result)
    y = result[known].astype(float)
    if len(y) < 2 or np.ptp(y) <= 1e-12 * np.abs(y).max():
        return None
    exact = complete and bool(known.all())
    main = {name: _share(values[known], y, exact=exact) for name, values in factors.items()}
    told = [share for share in main.values() if share is not None]
    noise = np.nan
    if error_variance is not None and np.isfinite(error_variance[known]).all():
        noise = float(error_variance[known].mean() / y.var())
    rest = 1 - sum(told) if exact else np.nan
    return Shares(main=main, exact=exact, rest=max(rest, 0.0) if exact else rest, noise=noise, points=len(y))


def is_complete(factors: Mapping[str, np.ndarray]) -> bool:
    """Whether the points are a complete grid: every combination of the keys' values, once each."""
    if not factors:
        return False
    codes = [np.unique(values, return_inverse=True)[1] for values in factors.values()]
    sizes = [int(code.max()) + 1 for code in codes]
    count = len(codes[0])
    if prod(sizes) != count:
        return False
    return len(np.unique(np.ravel_multi_index(codes, sizes))) == count


def _share(values: np.ndarray, y: np.ndarray, *, exact: bool) -> float | None:
    codes = np.unique(values, return_inverse=True)[1] if exact else classes(values)
    n, k = len(y), int(codes.max()) + 1
    sizes = np.bincount(codes)
    means = np.bincount(codes, y) / sizes
    total = float(((y - y.mean()) ** 2).sum())
    eta2 = float((sizes * (means - y.mean()) ** 2).sum()) / total
    if exact:
        return min(eta2, 1.0)
    if n < MIN_POINTS or n <= k or k < 2:
        return None
    return min(max(1 - (1 - eta2) * (n - 1) / (n - k), 0.0), 1.0)


def classes(values: np.ndarray) -> np.ndarray:
    """The class of each value, (n,) from 0: each value its own, or numbers in order cut into about √n classes."""
    found, codes = np.unique(values, return_inverse=True)
    if len(found) <= MAX_VALUES or not np.issubdtype(found.dtype, np.number):
        return codes
    wanted = int(np.clip(round(len(values) ** 0.5), 4, 50))
    # By rank among the distinct values' cumulative counts, so that equal values share a class.
    counts = np.bincount(codes)
    middle = np.cumsum(counts) - counts / 2
    return np.unique(np.minimum((middle / len(values) * wanted).astype(int), wanted - 1)[codes], return_inverse=True)[1]
