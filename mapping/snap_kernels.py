"""Compiled kernels of snapping: level indices and what the rounding costs, in one pass over the weights."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numpy as np

from hwmodels.compiling import compiled


@compiled()
def snap(
    matrix: np.ndarray,
    live: np.ndarray,
    middles: np.ndarray,
    scale: float,
    table: np.ndarray,
    guess: np.ndarray,
    index: np.ndarray,
) -> tuple[float, float]:
    """Write the level of every live weight, 0 for dead ones; Σ w² and Σ (q − w)² over live weights.

    matrix, live: (groups, rows, cols) float32 and bool; middles: (levels − 1,) where the next level of w / scale
    begins, a tie goes to the lower; table: (levels,) float32 weight of every level; guess:
    levels at evenly spaced places from the first middle to the last, where the search begins; index: as matrix. O(N)
    for levels that are nearly evenly spaced.
    """
    power = error = 0.0
    span = middles[-1] - middles[0]
    per_unit = (guess.size - 1) / span if span > 0 else 0.0
    for group in range(matrix.shape[0]):
        for row in range(matrix.shape[1]):
            for col in range(matrix.shape[2]):
                if not live[group, row, col]:
                    index[group, row, col] = 0
                    continue
                w = np.float64(matrix[group, row, col])
                unit = w / scale
                low = guess[max(0, min(guess.size - 1, int((unit - middles[0]) * per_unit)))]
                while low > 0 and middles[low - 1] >= unit:
                    low -= 1
                while low < middles.size and middles[low] < unit:
                    low += 1
                index[group, row, col] = low
                power += w * w
                off = np.float64(table[low] - matrix[group, row, col])
                error += off * off
    return power, error


@compiled()
def bin_weights(
    matrix: np.ndarray, live: np.ndarray, low: float, width: float, count: np.ndarray, total: np.ndarray
) -> float:
    """Count and sum of the live weights in equal intervals from `low` on, added into the last two; Σ w² of them.

    matrix: (groups, rows, cols) float32; count, total: (bins,) float64.
    """
    power, last = 0.0, count.size - 1
    for group in range(matrix.shape[0]):
        for row in range(matrix.shape[1]):
            for col in range(matrix.shape[2]):
                if live[group, row, col]:
                    w = np.float64(matrix[group, row, col])
                    number = min(int((w - low) / width), last)
                    count[number] += 1.0
                    total[number] += w
                    power += w * w
    return power


@compiled()
def extent(matrix: np.ndarray) -> tuple[float, float, bool, int]:
    """Lowest and highest value of (groups, rows, cols), whether none is 0, and how many are NaN or infinite."""
    low, high, dense, bad = np.inf, -np.inf, True, 0
    for group in range(matrix.shape[0]):
        for row in range(matrix.shape[1]):
            for col in range(matrix.shape[2]):
                w = matrix[group, row, col]
                if not np.isfinite(w):
                    bad += 1
                dense = dense and w != 0
                low, high = min(low, w), max(high, w)
    return low, high, dense, bad
