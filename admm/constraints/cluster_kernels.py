"""Compiled loops of optimal one-dimensional clustering."""

from __future__ import annotations

import numpy as np

from hwmodels.compiling import compiled


@compiled()
def partition(x: np.ndarray, count: np.ndarray, clusters: int) -> np.ndarray:
    """Starts of the clusters of least within-cluster sum of squares.

    x: ascending values (n,), float64, centred near 0; count: how often each occurs (n,), float64; clusters ≤ n.
    Returns int64 (clusters,): cluster j holds x[start[j]] … x[start[j + 1] − 1]. Dynamic programming over prefixes;
    the best last start grows with the prefix, so each layer is solved by halves: O(clusters · n · log n) time,
    O(clusters · n) memory.
    """
    n = x.size
    c = np.zeros(n + 1)
    s = np.zeros(n + 1)
    q = np.zeros(n + 1)
    for i in range(n):
        c[i + 1] = c[i] + count[i]
        s[i + 1] = s[i] + count[i] * x[i]
        q[i + 1] = q[i] + count[i] * x[i] * x[i]
    start = np.zeros((clusters, n), dtype=np.int32)
    before = np.empty(n)
    for i in range(n):
        before[i] = q[i + 1] - s[i + 1] * s[i + 1] / c[i + 1]
    stack = np.empty((128, 4), dtype=np.int64)
    for j in range(1, clusters):
        now = np.full(n, np.inf)
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = j, n - 1, j, n - 1
        depth = 1
        while depth:
            depth -= 1
            low, high, first, last = stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3]
            middle = (low + high) // 2
            best, where = np.inf, first
            for i in range(first, min(last, middle) + 1):  # the last cluster is x[i] … x[middle]
                total = s[middle + 1] - s[i]
                cost = before[i - 1] + q[middle + 1] - q[i] - total * total / (c[middle + 1] - c[i])
                if cost < best:
                    best, where = cost, i
            now[middle] = best
            start[j, middle] = where
            if low < middle:
                stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = low, middle - 1, first, where
                depth += 1
            if middle < high:
                stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = middle + 1, high, where, last
                depth += 1
        before = now
    found = np.zeros(clusters, dtype=np.int64)
    end = n - 1
    for j in range(clusters - 1, 0, -1):
        found[j] = start[j, end]
        end = found[j] - 1
    return found
