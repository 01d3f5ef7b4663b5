"""The Pareto front of two results: the points that no other point beats in both."""

from __future__ import annotations

import numpy as np


def front(x: np.ndarray, y: np.ndarray, *, x_up: bool = False, y_up: bool = True) -> np.ndarray:
    """Which points are on the front: no other is at least as good in both results and better in one.

    x, y: (n,) results, NaN where not known (such a point is on no front); x_up, y_up: whether more is better.
    Returns (n,) bool. Points that coincide are on it together. Sorted sweep, O(n log n).
    """
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    # As if both were costs: less is better.
    costs = np.stack([-x[known] if x_up else x[known], -y[known] if y_up else y[known]])
    order = np.lexsort((costs[1], costs[0]))
    first, second = costs[:, order]
    on_front = np.zeros(len(x), dtype=bool)
    if not len(order):
        return on_front
    # Behind everything with a smaller x a point must be strictly better in y; among equal x only the best y stays.
    starts = np.flatnonzero(np.r_[True, first[1:] != first[:-1]])
    group = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(first)]))
    best_of_group = second[starts]
    best_before = np.r_[np.inf, np.minimum.accumulate(best_of_group)[:-1]]
    good = (second == best_of_group[group]) & (second < best_before[group])
    on_front[known[order[good]]] = True
    return on_front
