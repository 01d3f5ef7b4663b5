"""Fault-aware placement: rows, columns, halves and arrays stand where stuck cells hurt their weights least.

With a known fault map every array is a pair of assignment problems. With the columns where they are, putting row i on
word line a costs the squared error that its weights suffer from the faults of that line, Σ_j (Δw)², whatever the other
rows do; so the best assignment of rows is a linear one (scipy), and so is that of columns. They alternate until nothing
improves: each step is optimal and the error never grows, without proof that both together are the best. A column of a
pair may stand with its halves exchanged, the sum subtracted instead of added, wherever that costs less. A stuck cell
thus comes to meet a weight that it suits, or a line that no row takes: lines of the array that a tile leaves free are
spare lines, and `place(..., spare_rows=, spare_cols=)` keeps more. Before that, whole arrays of one kind may be
exchanged (`mapping.exchanging_arrays`); that is kept only where the error after all moves is smaller.

What is assumed: drivers take their input and converters give their output by an index (`repacking.index_bits`), which
costs nothing more where rows are gathered by index already; an exchanged column is one bit beside its converter's
shift-and-add; which array is whose is wiring that a chip's test settles. All slices of a weight move together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from crossbar import ArraySpec
from hwmodels.errors import UserError
from mapping.exchanging_arrays import exchanged
from mapping.fault_blocks import Block, blocks_of
from mapping.fault_maps import FaultMaps, checked_faults, faults_of_chip
from mapping.inputs import Inputs
from mapping.pieces import Piece
from mapping.placement import LayerPlacement, Placement
from mapping.repacking import index_bits


@dataclass(frozen=True, eq=False)
class FaultAware:
    """A placement moved around the faults of one chip.

    placement: with word and bit lines, halves and arrays chosen; table: a row per layer: layer, faulty_cells (under its
    tiles, before), error_before, error_after (‖Δw‖ / ‖w‖ of what faults alone do to the weights), lines_moved,
    columns_exchanged (halves of pairs), arrays_moved, index_bits (of the tables that say which input and output belong
    to which line, and one bit a column where halves are exchanged); faults: the maps that it was made for.
    """

    placement: Placement
    table: pd.DataFrame
    faults: dict[int, np.ndarray]


def avoid_faults(
    placement: Placement,
    faults: int | FaultMaps,
    *,
    exchange_halves: bool = True,
    exchange_arrays: bool = True,
    example_input: Inputs | None = None,
) -> FaultAware:
    """Move rows and columns so that stuck cells meet weights that they suit.

    faults: the map of every array (`FaultMaps`), or the seed of a chip whose faults the devices draw. To blocks that
    have arrays of their own all lines of the array are open; blocks that share an array keep their rectangle.
    exchange_halves: columns of pairs may stand on the other half; exchange_arrays: whole arrays of one spec may change
    places, for the least Σ ‖Δw‖² / ‖w‖² over all layers (a single one may lose by it).
    example_input: calibrate the moved placement on it, as `place` does; without it ranges stay as they are.
    Nothing moves where it gains nothing. Raises UserError for maps that do not fit the placement, and without example
    where converters have ranges of their own, which belong to the columns that they serve.
    O(rows · faulty cells) for the costs of a tile and O(lines³) for each assignment.
    """
    _check_ranges(placement, example_input)
    maps = faults_of_chip(placement, faults) if isinstance(faults, int) else checked_faults(placement, faults)
    found, table = _moved(placement, maps, exchange_halves)
    if exchange_arrays and any(codes.any() for codes in maps.values()):
        homes = exchanged(placement, maps)
        if homes != (placement.homes or tuple(range(len(homes)))):
            other, rows = _moved(replace(placement, homes=homes), maps, exchange_halves)
            if _squares(rows) < _squares(table) * (1 - 1e-9):
                # What the arrays were before, from the placement as it came.
                before = table[["faulty_cells", "error_before"]]
                found, table = other, rows.assign(**before, arrays_moved=_arrays_moved(placement, other))
    if example_input is not None:
        from mapping.calibration import calibrate

        found = calibrate(found, example_input)
    return FaultAware(found, table, maps)


def weight_errors(placement: Placement, faults: int | FaultMaps) -> pd.Series:
    """‖Δw‖ / ‖w‖ of every layer: what faults alone do to its weights, from the cells that stand there."""
    maps = faults_of_chip(placement, faults) if isinstance(faults, int) else checked_faults(placement, faults)
    pieces = _by_layer(placement)
    errors = {
        name: sum(Block(layer, placement.spec_of(layer), members, maps).error() for members in blocks_of(pieces[name]))
        for name, layer in placement.layers.items()
    }
    return pd.Series({name: float(np.sqrt(error)) / _norm(placement.layers[name]) for name, error in errors.items()})


def recovered(
    before: Placement,
    after: Placement,
    evaluate: Callable[[nn.Module], float],
    *,
    faults: FaultMaps | None = None,
    seed: int = 0,
    **options: Any,
) -> dict[str, float]:
    """Accuracy of both placements on the same faulty chip, and of the quantised network without any fault or error.

    evaluate: network → accuracy; faults: as of `CrossbarNetwork`, None: those that the devices draw for `seed`;
    options: more arguments of `CrossbarNetwork`. Keys: reference, before, after, recovered (the share of what faults
    took that moving gives back; NaN where they took nothing).
    """
    from mapping.network import CrossbarNetwork

    found = {
        "reference": evaluate(before.reference()),
        "before": evaluate(CrossbarNetwork(before, seed=seed, faults=faults, **options)),
        "after": evaluate(CrossbarNetwork(after, seed=seed, faults=faults, **options)),
    }
    lost = found["reference"] - found["before"]
    return found | {"recovered": (found["after"] - found["before"]) / lost if lost else float("nan")}


def _check_ranges(placement: Placement, example_input: Inputs | None) -> None:
    for layer in placement.layers.values():
        if len(layer.calibration.converters) and example_input is None:
            raise UserError(
                f"The converters of layer {layer.label!r} have ranges of their own, measured for the columns that they "
                "serve now; pass example_input, so that moved columns are calibrated again."
            )


def _moved(placement: Placement, maps: dict[int, np.ndarray], exchange_halves: bool) -> tuple[Placement, pd.DataFrame]:
    """The placement with the lines of every block moved, and its table."""
    pieces = _by_layer(placement)
    layers, rows = {}, []
    for name, layer in placement.layers.items():
        layers[name], row = _of_layer(layer, placement.spec_of(layer), pieces[name], maps, exchange_halves)
        rows.append(row)
    return replace(placement, layers=layers), pd.DataFrame(rows)


def _of_layer(
    layer: LayerPlacement, spec: ArraySpec, pieces: list[Piece], maps: dict[int, np.ndarray], exchange_halves: bool
) -> tuple[LayerPlacement, dict[str, Any]]:
    """One layer with its blocks moved, and its row of the table."""
    tiles, before, after, faulty = list(layer.tiles), 0.0, 0.0, 0
    for members in blocks_of(pieces):
        block = Block(layer, spec, members, maps)
        faulty += block.faulty
        before += block.error()
        if block.error():
            block.improve(exchange=exchange_halves)
            tiles = block.moved(tiles)
        after += block.error()
    norm = _norm(layer)
    pairs = list(zip(layer.tiles, tiles, strict=True))
    row = {
        "layer": layer.label,
        "faulty_cells": faulty,
        "error_before": np.sqrt(before) / norm,
        "error_after": np.sqrt(after) / norm,
        "lines_moved": sum(
            int((a.line_numbers != b.line_numbers).sum() + (a.columns != b.columns).sum()) for a, b in pairs
        ),
        "columns_exchanged": sum(int((a.half_signs != b.half_signs).sum()) for a, b in pairs),
        "arrays_moved": 0,
        "index_bits": index_bits(tuple(tiles), layer.shape.rows, layer.shape.cols),
    }
    return replace(layer, tiles=tuple(tiles)), row


def _arrays_moved(before: Placement, after: Placement) -> list[int]:
    """Arrays of every layer that stand elsewhere on the chip."""
    pairs = zip(before.tiles["layer"], before.tiles["array"].tolist(), after.tiles["array"].tolist(), strict=True)
    moved = {(layer, one) for layer, one, two in pairs if one != two}
    return [sum(layer.label == name for name, _ in moved) for layer in before.layers.values()]


def _by_layer(placement: Placement) -> dict[str, list[Piece]]:
    """The pieces of every layer."""
    pieces: dict[str, list[Piece]] = {name: [] for name in placement.layers}
    for piece in placement.pieces():
        pieces[piece.layer.name].append(piece)
    return pieces


def _squares(table: pd.DataFrame) -> float:
    """Σ ‖Δw‖² / ‖w‖² over the layers, after moving."""
    return float((table["error_after"].to_numpy() ** 2).sum())


def _norm(layer: LayerPlacement) -> float:
    """‖w‖ of the layer's weights, 1 where all are 0."""
    return float(layer.weights().norm()) or 1.0
