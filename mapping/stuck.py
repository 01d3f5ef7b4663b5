"""Which weights of a placement stand on faulty cells, and at what: the fault map of a chip as a table of weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hwmodels.devices.faults import value_of
from hwmodels.errors import UserError
from mapping.fault_maps import FaultMaps, checked_faults, faults_of_chip
from mapping.placement import LayerPlacement, Placement

COLUMNS = ("layer", "group", "row", "col", "value")


def stuck_weights(placement: Placement, seed: int = 0, faults: FaultMaps | None = None) -> pd.DataFrame:
    """The live weights with a stuck cell on the chip of this seed: layer, group, row, col (of the matrix), value.

    faults: the maps of a real chip (`mapping.fault_maps`), in the place of those that the device draws for the seed.

    value: the level nearest to what the weight's cells stand at when its healthy ones hold what is placed there, in
    units of the largest level; 0 where that is nearer. An open crossing has no cell that could be stuck.
    Raises UserError for an encoding other than pairs, and maps that do not fit the placement.
    """
    for layer in placement.layers.values():
        if placement.spec_of(layer).encoding != "pair":
            kind = placement.spec_of(layer).encoding
            raise UserError(f"Stuck weights can be told of pairs only, not of encoding = {kind!r}.")
    maps = faults_of_chip(placement, seed) if faults is None else checked_faults(placement, faults)
    sums = {name: np.zeros(layer.index.shape) for name, layer in placement.layers.items()}
    faulty = {name: np.zeros(layer.index.shape, dtype=bool) for name, layer in placement.layers.items()}
    for piece in placement.pieces():
        tile, spec = piece.tile, placement.spec_of(piece.layer)
        if piece.array not in maps:
            codes = np.zeros(piece.target.shape, dtype=np.int8)
        else:
            codes = maps[piece.array][tile.lines][:, piece.columns]
        states = np.array([0.0, *(value_of(code, spec.device) for code in (1, 2, 3))])
        hit = (codes > 0) & (piece.target > 0)
        g = np.where(hit, states[codes], piece.target)
        at = np.ix_(tile.rows, tile.cols)
        counts = piece.sign * tile.half_signs * spec.encoder.slicing.weights[piece.slice]
        sums[piece.layer.name][tile.group][at] += counts * g
        faulty[piece.layer.name][tile.group][at] |= hit
    found = [
        _table(layer, sums[name], faulty[name] & layer.live, placement.spec_of(layer).encoder.full_scale_s)
        for name, layer in placement.layers.items()
    ]
    return pd.concat(found, ignore_index=True)


def _table(layer: LayerPlacement, sums: np.ndarray, where: np.ndarray, full_scale_s: float) -> pd.DataFrame:
    levels = np.unique(np.append(layer.grid.values, 0.0))
    value = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, sums[where] / full_scale_s)]
    group, row, col = np.nonzero(where)
    columns = {"layer": [layer.name] * group.size, "group": group, "row": row, "col": col, "value": value}
    return pd.DataFrame(columns, columns=list(COLUMNS))
