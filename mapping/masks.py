"""What stands on cells: the live weights of a layer and their level indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from crossbar import ArraySpec, LevelGrid, fit_scale, to_matrix
from hwmodels.errors import UserError
from mapping.lowering import Geometry
from mapping.snapping import layer_scale, non_zero, snapped


def matrix_of(weight: Any, geometry: Geometry) -> np.ndarray:
    """The lowered matrix (groups, rows, cols) of a weight tensor as its module holds it, float32 numpy."""
    lowered = geometry.lowered(weight.detach().cpu().float())
    return np.ascontiguousarray(to_matrix(lowered.numpy(), geometry.groups))


def checked_matrix(name: str, module: nn.Module, geometry: Geometry) -> np.ndarray:
    """The lowered weights of a layer; NaN or infinite weights are refused by name."""
    matrix = matrix_of(module.weight, geometry)
    bad = int((~np.isfinite(matrix)).sum())
    if bad:
        raise UserError(f"Layer {name!r} holds {bad} NaN or infinite weight(s); mend or retrain it before placing.")
    return matrix


def live_weights(name: str, matrix: np.ndarray, masks: dict[str, Any], geometry: Geometry) -> np.ndarray:
    """Which weights are live: the compression's own mask where there is one, else every non-zero weight.

    Raises UserError when a masked weight is not exactly zero: the mask and the weights tell two stories.
    """
    if name not in masks:
        return non_zero(matrix)
    mask = masks[name].detach().cpu().bool()
    if tuple(mask.shape) != geometry.stored_shape:
        raise UserError(f"The mask of layer {name!r} does not have the shape of its weight.")
    live = np.ascontiguousarray(to_matrix(geometry.lowered(mask).numpy(), geometry.groups))
    if matrix[~live].any():
        raise UserError(f"Layer {name!r} has non-zero weights where its mask is False; apply the mask first.")
    return live


def level_indices(
    name: str, matrix: np.ndarray, live: np.ndarray, grid: LevelGrid | None, spec: ArraySpec, scale: str
) -> tuple[LevelGrid, np.ndarray, float]:
    """Grid, level indices and relative error of a layer.

    A grid that came with the weights is kept unchanged and must be the array's level set; otherwise the weights
    snap to the nearest level of a least-squares scale, one for the layer or one per column.
    Returns (grid, index (groups, rows, cols), ‖w − q‖ / ‖w‖ over live weights).
    """
    values = spec.weight_levels()
    if grid is None:
        grid = LevelGrid(values, _fitted_scale(matrix, live, values, scale))
    elif grid.values.shape != values.shape or not np.allclose(grid.values, values, rtol=0, atol=1e-12):
        raise UserError(
            f"Layer {name!r} was quantised to {grid.values.size} levels, and their values are not those of the array's "
            f"{values.size} levels; compress and place with the same array."
        )
    index, error = snapped(matrix, live, grid)
    return grid, index, error


def _fitted_scale(matrix: np.ndarray, live: np.ndarray, values: np.ndarray, scale: str) -> np.ndarray:
    if scale == "layer":
        return np.float64(layer_scale(matrix, live, values))  # type: ignore[return-value]
    if scale != "channel":
        raise UserError(f"Unknown scale {scale!r}; choose 'layer' or 'channel'.")
    groups, _, cols = matrix.shape
    return np.array([[fit_scale(matrix[g, :, c][live[g, :, c]], values) for c in range(cols)] for g in range(groups)])
