"""What stands on cells: the live weights of a layer and their level indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from crossbar import ArraySpec, LevelGrid, fit_scale, to_matrix
from crossbar.levels import embedding
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
    name: str,
    matrix: np.ndarray,
    live: np.ndarray,
    grid: LevelGrid | None,
    spec: ArraySpec,
    scale: str,
    snap: bool = False,
) -> tuple[LevelGrid, np.ndarray, np.ndarray, float]:
    """Grid of the array's levels, level indices, live crossings and relative error of a layer.

    A grid that came with the weights keeps them where they are if its values are, up to one positive factor, levels of
    the array (or zero: a weight at a zero level that the array lacks stands on no cell, and is not live). Any other is
    refused, unless snap = True: then its weights move as those without a grid do, to the nearest level of a
    least-squares scale, one for the layer or one per column.
    Returns (grid, index (groups, rows, cols), live of that shape, ‖w − q‖ / ‖w‖ over live weights).
    """
    values = spec.weight_levels()
    factor = None if grid is None else embedding(grid.values, values)
    if grid is not None and factor is None and not snap:
        raise UserError(
            f"Layer {name!r} was quantised to {grid.values.size} levels, and their values are not, at any scale, among "
            f"the array's {values.size} levels; compress and place with the same array, quantise to some of its levels "
            "(kind = 'levels'), or let the weights snap to the nearest ones (compress.snap = true, place(snap=True))."
        )
    if grid is not None and factor is not None:
        if 0.0 in grid.values and 0.0 not in values:
            live = live & (matrix != 0)
        fitted = _rescaled(grid, factor, values, matrix.shape)
    else:
        fitted = LevelGrid(values, _fitted_scale(matrix, live, values, scale))
    index, error = snapped(matrix, live, fitted)
    return fitted, index, live, error


def _rescaled(grid: LevelGrid, factor: float, values: np.ndarray, shape: tuple[int, ...]) -> LevelGrid:
    """The grid of all `values` that has the levels of `grid`: its scale over the factor, (groups, cols) if per column.

    The float32 weights are the same ones where the scale's rounding lets them be, else one rounding apart.
    """
    groups, _, cols = shape
    scale = grid.scale if grid.scale.ndim == 0 else grid.scale.reshape(groups, cols)
    return LevelGrid(values, scale / factor)


def _fitted_scale(matrix: np.ndarray, live: np.ndarray, values: np.ndarray, scale: str) -> np.ndarray:
    if scale == "layer":
        return np.float64(layer_scale(matrix, live, values))  # type: ignore[return-value]
    if scale != "channel":
        raise UserError(f"Unknown scale {scale!r}; choose 'layer' or 'channel'.")
    groups, _, cols = matrix.shape
    return np.array([[fit_scale(matrix[g, :, c][live[g, :, c]], values) for c in range(cols)] for g in range(groups)])
