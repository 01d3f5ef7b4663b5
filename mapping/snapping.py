"""From weights to level indices without copies: what a network of a billion weights takes to be placed."""

from __future__ import annotations

import numpy as np

from crossbar import LevelGrid, fit_scale
from crossbar.scale import fit_scale_of_bins

WHOLE_FIT = 1 << 20
"""Up to so many weights a scale is fitted to each of them; beyond, to their histogram."""

BINS = 1 << 18
"""Intervals of that histogram: with 32 levels, the squared error of the scale is within 1.3e-4 of the best."""


GUESSES = 1024
"""Entries of the table that says where the search for a level begins."""


def non_zero(matrix: np.ndarray) -> np.ndarray:
    """Which weights are not 0, bool of the shape; where all are, one value that repeats, without memory of its own."""
    from mapping.snap_kernels import extent

    if extent(matrix)[2]:
        return np.broadcast_to(np.True_, matrix.shape)
    return matrix != 0


def layer_scale(matrix: np.ndarray, live: np.ndarray, values: np.ndarray) -> float:
    """The least-squares scale of a layer's live weights for the levels (`crossbar.fit_scale`).

    Beyond WHOLE_FIT weights from a histogram of BINS intervals (`crossbar.scale.fit_scale_of_bins`): O(N), no copy.
    """
    if matrix.size <= WHOLE_FIT:
        return fit_scale(matrix[live], values)
    from mapping.snap_kernels import bin_weights, extent

    low, high, _, _ = extent(matrix)
    count, total = np.zeros(BINS), np.zeros(BINS)
    power = bin_weights(matrix, live, low, (high - low) / BINS or 1.0, count, total)
    return fit_scale_of_bins(count, total, power, values)


def snapped(matrix: np.ndarray, live: np.ndarray, grid: LevelGrid) -> tuple[np.ndarray, float]:
    """Nearest levels (groups, rows, cols) of a layer, 0 where dead, and ‖w − q‖ / ‖w‖ over live weights.

    The index is that of `LevelGrid.index`; with one scale a layer in one compiled pass.
    """
    if grid.scale.ndim:
        index = np.where(live, grid.index(matrix), 0).astype(grid.index_dtype)
        norm = float(np.linalg.norm(matrix[live]))
        return index, float(np.linalg.norm((grid.weights(index) - matrix)[live])) / norm if norm else 0.0
    from mapping.snap_kernels import snap

    index = np.empty(matrix.shape, dtype=grid.index_dtype)
    middles = (grid.values[1:] + grid.values[:-1]) / 2
    guess = np.searchsorted(middles, np.linspace(middles[0], middles[-1], GUESSES), side="left")
    power, error = snap(matrix, live, middles, float(grid.scale), grid.table(), guess, index)
    return index, float(np.sqrt(error / power)) if power else 0.0
