"""From a network to its placement: trace, mask, snap to levels, cut into tiles, calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from crossbar import ArraySpec, MixedSignsError
from crossbar.tiling import row_places
from hwmodels.errors import UserError
from mapping import folding, freeing
from mapping.array_choice import check_spares, specs_of
from mapping.calibration import calibrate as measured
from mapping.calibration import input_ranges
from mapping.inputs import Arguments, Inputs
from mapping.lowering.geometry import Geometry
from mapping.masks import checked_matrix, level_indices, live_weights
from mapping.placement import LayerPlacement, Placement
from mapping.placing import Placing, Scale
from mapping.preparing import prepare, ties
from mapping.repacking import repacked
from mapping.sharing import Sharing, share_arrays
from mapping.tiling import cut
from mapping.trace import DigitalLayer, TracedLayer, trace


def place(
    model: Any,
    array: ArraySpec,
    example_input: Inputs,
    *,
    scale: Scale = "layer",
    snap: bool = False,
    arrays: Mapping[str, ArraySpec] | None = None,
    repack: bool = False,
    share: Sharing = "none",
    spare_rows: int = 0,
    spare_cols: int = 0,
    calibrate: bool = True,
    fold_batch_norm: bool = False,
    free_unused: bool = True,
    batch_axis: int = 0,
) -> Placement:
    """Place a network on arrays.

    model: a compressed network (anything with `.model`, `.masks` and `.grids`; its weights stay where they are, on
    grids that are at some scale levels of the array, and of its masks only what carries nothing is freed) or any
    nn.Module (exact zeros are masks; weights snap to the array's levels with one least-squares scale a layer, or one a
    column with scale="channel"; `snap_error` in the layer table says what that cost). array: the arrays.
    example_input: a tensor, a tuple of tensors, or a mapping of keywords; it traces the network and calibrates input
    and converter ranges, so a few dozen real inputs are better than one.
    snap: weights of grids that the array lacks (clusters, say) snap as well, instead of being refused.
    fold_batch_norm: fold normalisations into the layers before them where that is exact (`mapping.folding`).
    free_unused: drop rows and columns that zeros in other layers leave unused (`mapping.freeing`); what was freed, or
    why nothing could be, stands in `placement.notes`. batch_axis: the axis of the example's first tensor that counts
    samples.

    arrays: other arrays for some layers, by pattern of the layer's name ("features.*", the first that fits counts); the
    others stand on `array`. repack: choose rows and columns that stand together on an array so that a mask's survivors
    fill fewer (`mapping.repacking`). share: let small blocks of a "layer", or of the "network", stand on one array and
    be read in turn (`mapping.sharing`). spare_rows, spare_cols: word lines and weight columns of every array that stay
    free, for `avoid_faults` to move rows and columns to. calibrate: False skips the nominal arrays and takes from the
    example only the input ranges of the unquantised network; converters then span their full range, read energies are
    not known.

    Convolutions, transposed ones, linear layers and the projections of recurrent layers and attention go on arrays;
    the rest stays digital and is listed with its operations in `placement.digital`.
    Raises UserError for NaN weights, a network that does not run on the example, one without a mappable layer,
    weights shared between layers, grids that are not the array's, weights of both signs in a polarised fragment, and
    (with fold_batch_norm) a network whose paths cannot be followed.
    """
    original, masks, grids = _parts(model)
    # Folding and freeing change weights in place; only where neither happens the copy may share them.
    changed = fold_batch_norm or (free_unused and freeing.has_holes(original))
    network, example = prepare(original, lend=not changed), Arguments.of(example_input)
    folded = folding.fold_batch_norm(network, example, grids) if fold_batch_norm else ()
    notes: list[str] = []
    if free_unused:
        masks, notes = freeing.free_unused(network, masks, example)
    traced = trace(network, example_input, batch_axis=batch_axis)
    _refuse_shared(traced.layers)
    batch = example.batch(batch_axis)
    specs = specs_of([layer.name for layer in traced.layers], array, arrays or {})
    for own in specs.values():
        check_spares(own, spare_rows, spare_cols)
    layers: dict[str, LayerPlacement] = {}
    for layer in traced.layers:
        geometry, own = layer.geometry, specs[layer.name]
        matrix = checked_matrix(layer.name, layer.module, geometry)
        live = live_weights(layer.name, matrix, masks, geometry)
        found = level_indices(layer.name, matrix, live, grids.get(layer.name), own, scale, snap)
        grid, index, live, error = found
        made = LayerPlacement(
            name=layer.name,
            geometry=geometry,
            shape=geometry.shape(layer.positions(batch)),
            grid=grid,
            index=index,
            live=live,
            tiles=tuple(
                (repacked if repack else cut)(
                    live, own.rows - spare_rows, own.weight_cols - spare_cols, own.fragment, _places(geometry, own)
                )
            ),
            calibration=None,  # type: ignore[arg-type]  # filled in by calibrate, which needs the cells
            snap_error=error,
            array=None if own == array else own,
        )
        layers[layer.name] = replace(made, signs=tile_signs(made, own))
    placement = Placement(
        array=array,
        layers=share_arrays(layers, specs, share),
        digital=tuple(_with_ties(traced.digital, original)),
        macs_total=traced.macs_total,
        macs_digital=traced.macs_digital,
        folded=folded,
        notes=tuple(notes),
        network=network,
        placing=Placing(scale=scale, repack=repack, share=share, spare_rows=spare_rows, spare_cols=spare_cols),
    )
    return measured(placement, example_input) if calibrate else input_ranges(placement, example_input)


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


def _with_ties(digital: list[DigitalLayer], original: nn.Module) -> list[DigitalLayer]:
    """Say of a digital module whose weight is also a layer's that this layer stands on arrays with its own copy."""
    tied = ties(original)
    return [
        replace(item, reason=f"{item.reason}; the layer {tied[item.module]!r} that shares its weight has its own cells")
        if item.module in tied
        else item
        for item in digital
    ]


def _refuse_shared(layers: list[TracedLayer]) -> None:
    owner: dict[int, str] = {}
    for layer in layers:
        key = id(layer.module._parameters.get("weight", layer.module))
        if key in owner:
            raise UserError(
                f"Layers {owner[key]!r} and {layer.name!r} share one weight; give each its own copy before placing."
            )
        owner[key] = layer.name
