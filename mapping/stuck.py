"""Which weights of a placement stand on faulty cells, and at what: the fault map of a chip as a table of weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hwmodels import fault_map
from hwmodels.devices.faults import value_of
from hwmodels.errors import UserError
from mapping.placement import LayerPlacement, Placement

COLUMNS = ("layer", "group", "row", "col", "value")


def stuck_weights(placement: Placement, seed: int) -> pd.DataFrame:
    """The live weights with a stuck cell on the chip of this seed: layer, group, row, col (of the matrix), value.

    value: the level nearest to what the weight's cells stand at when its healthy ones hold what is placed there, in
    units of the largest level; 0 where that is nearer. Faults are those of `hwmodels.fault_map`; an open crossing has
    no cell that could be stuck. Raises UserError for an encoding other than pairs, and a seed that is none.
    """
    for layer in placement.layers.values():
        if placement.spec_of(layer).encoding != "pair":
            encoding = placement.spec_of(layer).encoding
            raise UserError(f"Stuck weights can be told of pairs only, not of encoding = {encoding!r}.")
    sums = {name: np.zeros(layer.index.shape) for name, layer in placement.layers.items()}
    faulty = {name: np.zeros(layer.index.shape, dtype=bool) for name, layer in placement.layers.items()}
    for piece in placement.pieces():
        tile, spec = piece.tile, placement.spec_of(piece.layer)
        states = np.array([0.0, *(value_of(code, spec.device) for code in (1, 2, 3))])
        codes = fault_map(piece.contents.target.shape, spec.device, seed, array=piece.array)
        codes = codes[tile.lines][:, piece.columns]
        hit = (codes > 0) & (piece.target > 0)
        g = np.where(hit, states[codes], piece.target)
        at = np.ix_(tile.rows, tile.cols)
        sums[piece.layer.name][tile.group][at] += piece.sign * spec.encoder.slicing.weights[piece.slice] * g
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
