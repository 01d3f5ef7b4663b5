"""From a network to its placement: trace, mask, snap to levels, cut into tiles, calibrate."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from crossbar import ArraySpec, MixedSignsError
from crossbar.tiling import row_places
from hwmodels.errors import UserError
from mapping.calibration import calibrate
from mapping.lowering import Geometry
from mapping.masks import checked_matrix, level_indices, live_weights
from mapping.placement import LayerPlacement, Placement
from mapping.tiling import cut
from mapping.trace import Inputs, TracedLayer, trace


def place(
    model: Any, array: ArraySpec, example_input: Inputs, *, scale: str = "layer", snap: bool = False
) -> Placement:
    """Place a network on arrays.

    model: a compressed network (anything with `.model`, `.masks` and `.grids`; its weights stay where they are, on
    grids that are at some scale levels of the array) or any nn.Module (exact zeros are masks; weights snap to the
    array's levels with one least-squares scale a layer, or one a column with scale="channel"; `snap_error` in the layer
    table says what that cost). array: the arrays. example_input: a tensor or a tuple of tensors, first axis the batch;
    it traces the network and calibrates input and converter ranges, so a few dozen real inputs are better than one.
    snap: weights of grids that the array lacks (clusters, say) snap as well, instead of being refused.

    Conv2d and Linear layers go on arrays; the rest stays digital and is listed in `placement.digital`.
    Raises UserError for NaN weights, a network that does not run on the example, one without a mappable layer,
    weights shared between layers, grids that are not the array's, and weights of both signs in a polarised fragment.
    """
    network, masks, grids = _parts(model)
    network = _baked(network)
    traced = trace(network, example_input)
    _refuse_shared(traced.layers)
    batch = _batch_size(example_input)
    layers: dict[str, LayerPlacement] = {}
    for layer in traced.layers:
        geometry = layer.geometry
        matrix = checked_matrix(layer.name, layer.module, geometry.groups)
        live = live_weights(layer.name, matrix, masks, geometry.groups)
        found = level_indices(layer.name, matrix, live, grids.get(layer.name), array, scale, snap)
        grid, index, live, error = found
        made = LayerPlacement(
            name=layer.name,
            geometry=geometry,
            shape=geometry.shape(layer.positions(batch)),
            grid=grid,
            index=index,
            live=live,
            tiles=tuple(cut(live, array.rows, array.weight_cols, array.fragment, _places(geometry, array))),
            calibration=None,  # type: ignore[arg-type]  # filled in by calibrate, which needs the cells
            snap_error=error,
        )
        layers[layer.name] = replace(made, signs=tile_signs(made, array))
    placement = Placement(
        array=array,
        layers=layers,
        digital=tuple(traced.digital),
        macs_total=traced.macs_total,
        network=network,
    )
    return calibrate(placement, example_input)


def _places(geometry: Geometry, array: ArraySpec) -> np.ndarray | None:
    """Where the rows of a layer stand before they are cut into arrays; None: in their own order."""
    return None if array.fragment_order == "W" else row_places(geometry.weight_shape, array.fragment_order)


def tile_signs(layer: LayerPlacement, array: ArraySpec) -> tuple[np.ndarray, ...]:
    """The digital bits that the cells of every tile are read with, () where the encoding needs none."""
    signs = []
    for tile in layer.tiles:
        try:
            own = layer.cell_codes(tile, array).signs
        except MixedSignsError as mixed:
            first, last, col = tile.rows[mixed.first], tile.rows[mixed.last], tile.cols[mixed.col]
            raise UserError(
                f"Layer {layer.name!r}, group {tile.group}, column {col}: rows {first} to {last} hold weights of both "
                "signs; the polarised encoding stores one sign for them. Polarise the network in compression, use "
                "smaller fragments, or another encoding."
            ) from None
        if own is None:
            return ()
        signs.append(own)
    return tuple(signs)


def _parts(model: Any) -> tuple[nn.Module, dict[str, Any], dict[str, Any]]:
    if isinstance(model, nn.Module):
        return model, {}, {}
    if isinstance(getattr(model, "model", None), nn.Module):
        return model.model, dict(model.masks), dict(model.grids)
    raise UserError(f"Cannot place a {type(model).__name__}; pass an nn.Module or the result of admm.compress.")


def _baked(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose weights are plain parameters, torch's pruning and parametrisations applied."""
    # torch.nn.utils.prune leaves the masked weight behind as a computed tensor, which does not copy by itself.
    computed = {
        id(module.weight): module.weight.detach().clone()
        for module in network.modules()
        if hasattr(module, "weight_mask") and isinstance(module.weight, Tensor)
    }
    network = copy.deepcopy(network, computed).eval()
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
        if hasattr(module, "weight_orig") and hasattr(module, "weight_mask"):
            prune.remove(module, "weight")
    return network


def _batch_size(example_input: Inputs) -> int:
    first = example_input[0] if isinstance(example_input, tuple) else example_input
    return first.shape[0]


def _refuse_shared(layers: list[TracedLayer]) -> None:
    owner: dict[int, str] = {}
    for layer in layers:
        key = id(layer.module._parameters.get("weight", layer.module))
        if key in owner:
            raise UserError(
                f"Layers {owner[key]!r} and {layer.name!r} share one weight; give each its own copy before placing."
            )
        owner[key] = layer.name
