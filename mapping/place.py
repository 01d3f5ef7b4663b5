"""From a network to its placement: trace, mask, snap to levels, cut into tiles, calibrate."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from crossbar import ArraySpec, MixedSignsError
from hwmodels.errors import UserError
from mapping.array_choice import specs_of
from mapping.calibration import calibrate as measured
from mapping.calibration import input_ranges
from mapping.lowering import why_not_mappable
from mapping.masks import checked_matrix, level_indices, live_weights
from mapping.placement import LayerPlacement, Placement
from mapping.repacking import repacked
from mapping.sharing import Sharing, share_arrays
from mapping.tiling import cut
from mapping.trace import Inputs, TracedLayer, trace


def place(
    model: Any,
    array: ArraySpec,
    example_input: Inputs,
    *,
    scale: str = "layer",
    arrays: Mapping[str, ArraySpec] | None = None,
    repack: bool = False,
    share: Sharing = "none",
    calibrate: bool = True,
) -> Placement:
    """Place a network on arrays.

    model: a compressed network (anything with `.model`, `.masks` and `.grids`; its masks and grids are kept
    unchanged) or any nn.Module (exact zeros are masks; weights snap to the array's levels with one
    least-squares scale a layer, or one a column with scale="channel"; `snap_error` in the layer table says what
    that cost). array: the arrays. example_input: a tensor or a tuple of tensors, first axis the batch; it
    traces the network and calibrates input and converter ranges, so a few dozen real inputs are better than one.

    arrays: other arrays for some layers, by pattern of the layer's name ("features.*", the first that fits counts); the
    others stand on `array`. repack: choose rows and columns that stand together on an array so that a mask's survivors
    fill fewer (`mapping.repacking`). share: let small blocks of a "layer", or of the "network", stand on one array and
    be read in turn (`mapping.sharing`). calibrate: False skips the nominal arrays and takes from the example only the
    input ranges of the unquantised network; converters then span their full range, read energies are not known.

    Conv2d and Linear layers go on arrays; the rest stays digital and is listed in `placement.digital`.
    Raises UserError for NaN weights, a network that does not run on the example, one without a mappable layer,
    weights shared between layers, grids that are not the array's, and weights of both signs in a polarised fragment.
    """
    network, masks, grids = _parts(model)
    network = _baked(network)
    traced = trace(network, example_input)
    _refuse_shared(traced.layers)
    batch = _batch_size(example_input)
    specs = specs_of([layer.name for layer in traced.layers], array, arrays or {})
    layers: dict[str, LayerPlacement] = {}
    for layer in traced.layers:
        geometry, own = layer.geometry, specs[layer.name]
        matrix = checked_matrix(layer.name, layer.module, geometry.groups)
        live = live_weights(layer.name, matrix, masks, geometry.groups)
        grid, index, error = level_indices(layer.name, matrix, live, grids.get(layer.name), own, scale)
        made = LayerPlacement(
            name=layer.name,
            geometry=geometry,
            shape=geometry.shape(layer.positions(batch)),
            grid=grid,
            index=index,
            live=live,
            tiles=tuple((repacked if repack else cut)(live, own.rows, own.weight_cols, own.fragment)),
            calibration=None,  # type: ignore[arg-type]  # filled in by calibrate, which needs the cells
            snap_error=error,
            array=None if own == array else own,
        )
        layers[layer.name] = replace(made, signs=_signs(made, own))
    placement = Placement(
        array=array,
        layers=share_arrays(layers, specs, share),
        digital=tuple(traced.digital),
        macs_total=traced.macs_total,
        network=network,
    )
    return measured(placement, example_input) if calibrate else input_ranges(placement, example_input)


def _signs(layer: LayerPlacement, array: ArraySpec) -> tuple[np.ndarray, ...]:
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
    # Weights that only wait to be placed are not copied: a large network stands in memory once.
    kept = {id(weight): weight for weight in map(_plain_weight, network.modules()) if weight is not None}
    network = copy.deepcopy(network, computed | kept).eval()
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
        if hasattr(module, "weight_orig") and hasattr(module, "weight_mask"):
            prune.remove(module, "weight")
    return network


def _plain_weight(module: nn.Module) -> Tensor | None:
    """The weight of a layer that arrays can take, where it is a parameter of its own."""
    if why_not_mappable(module) is not None or parametrize.is_parametrized(module, "weight"):
        return None
    return module._parameters.get("weight")


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
