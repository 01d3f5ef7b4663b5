"""What the rows of a tile table must tell together: unique pieces, inside their arrays, side by side, of one mind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.costs.pieces import Pieces
from hwmodels.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

AGREED = {
    ("array",): ("array_rows", "array_cols", "dac_bits", "adc_bits", "cols_per_adc", "t_read_s", "replicas"),
    ("layer", "tile"): ("reads_per_inference", "input_cycles", "input_phases"),
    ("layer",): ("outputs", "replicas"),
}
"""What all pieces of one array, of one tile and of one layer must agree on."""


def refuse(tiles: pd.DataFrame, name: str, bad: np.ndarray, what: str) -> None:
    """Raise UserError for the first row that is marked bad: its number, the column, the value, and what is wrong."""
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        value: Any = tiles[name].iloc[at]
        plain = value.item() if isinstance(value, np.generic) else value
        raise UserError(f"Tile table, row {at}, column {name!r}: {plain!r} {what}.")


def check_geometry(tiles: pd.DataFrame, pieces: Pieces) -> None:
    """Every piece is there once and inside its array, none lies on another, and all agree on what they share.

    Raises UserError as `refuse`.
    """
    _check_once(tiles, pieces)
    for first, size, whole in (("row0", "rows", "array_rows"), ("col0", "cols", "array_cols")):
        over = pieces[first] + pieces[size] > pieces[whole]
        refuse(tiles, first, over, f"puts the piece beyond its array ({first} + {size} exceeds {whole})")
    refuse(tiles, "live_cells", pieces["live_cells"] > pieces["rows"] * pieces["cols"], "exceeds rows × cols")
    refuse(tiles, "converted_cols", pieces.converted_cols > pieces["cols"], "exceeds cols")
    refuse(tiles, "max_live_per_col", pieces["max_live_per_col"] > pieces["rows"], "exceeds rows")
    for keys, names in AGREED.items():
        order = np.lexsort([pieces[key] for key in reversed(keys)])
        same = ~pieces.new_group(order, keys)
        for name in (name for name in names if name in pieces.columns):
            column, differs = pieces[name][order], np.zeros(order.size, dtype=bool)
            differs[order[1:]] = same[1:] & (column[1:] != column[:-1])
            refuse(tiles, name, differs, f"differs from another piece of the same {' and '.join(keys)}")
    if "input_phases" in pieces.columns:
        uneven = pieces["input_cycles"] % pieces["input_phases"] != 0
        refuse(tiles, "input_phases", uneven, "does not divide input_cycles, the array reads of all phases together")
    refuse(tiles, "array", _on_another(pieces), "holds a piece that overlaps another piece of the same array")


def _check_once(tiles: pd.DataFrame, pieces: Pieces) -> None:
    """No (layer, tile, sign, slice) twice."""
    again = ~pieces.first_of("layer", "tile", "sign", "slice")
    if again.any():
        at = int(np.flatnonzero(again)[0])
        tile, sign, part = (int(pieces[name][at]) for name in ("tile", "sign", "slice"))
        raise UserError(
            f"Tile table, row {at}: layer {pieces.layers[pieces['layer'][at]]!r} has its tile {tile}, sign {sign}, "
            f"slice {part} a second time. Every piece has one row."
        )


def _on_another(pieces: Pieces) -> np.ndarray:
    """True at a piece that lies on one of the same array with a row0 that is not larger, (pieces,).

    Sorted by array and row0, the pieces that share rows with piece i are neighbours i + 1, i + 2, …, without a gap; so
    each neighbour distance is one comparison of columns, until no two pieces of a distance share a row.
    """
    order = np.lexsort((pieces["row0"], pieces["array"]))
    array, top, left = (pieces[name][order] for name in ("array", "row0", "col0"))
    bottom, right = top + pieces["rows"][order], left + pieces["cols"][order]
    found = np.zeros(order.size, dtype=bool)
    for step in range(1, order.size):
        rows = (array[step:] == array[:-step]) & (top[step:] < bottom[:-step])
        if not rows.any():
            break
        found[order[step:]] |= rows & (left[step:] < right[:-step]) & (left[:-step] < right[step:])
    return found
