"""The tile table as the cost model reads it: checked once, then plain columns and what the arrays share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("rows", "cols", "array_rows", "array_cols", "reads_per_inference", "input_cycles", "cols_per_adc")
"""Columns of whole numbers, at least 1."""
INDICES = (
    "array",
    "tile",
    "slice",
    "row0",
    "col0",
    "live_cells",
    "max_live_per_col",
    "dac_bits",
    "adc_bits",
)
"""Columns of whole numbers, at least 0."""
AMOUNTS = ("cell_bits", "g_sum_s", "read_energy_j")
"""Columns of real numbers, at least 0; cell_bits is log2 of the levels; read_energy_j may be NaN: not known."""
OPTIONAL_COUNTS = ("outputs", "replicas")
"""Columns of whole numbers, at least 1, that may be missing."""
OPTIONAL_INDICES = ("converted_cols", "adc_bits_needed")
"""Columns of whole numbers, at least 0, that may be missing.

converted_cols: how many of a piece's columns are converted, at most `cols` and counted from its first; 0 where their
currents are subtracted from another piece's before its converters (the negative half of a pair, a dummy column).
Missing: all of them. adc_bits_needed: bits with which no column sum of the piece can clip, as whoever made the table
knows its encoding; missing: from the live cells, levels and input bits, as if the cells were read one by one.
"""
REQUIRED = ("layer", "sign", *COUNTS, *INDICES, *AMOUNTS)
AGREED = {
    ("array",): ("array_rows", "array_cols", "dac_bits", "adc_bits", "cols_per_adc", "t_read_s", "replicas"),
    ("layer", "tile"): ("reads_per_inference", "input_cycles"),
    ("layer",): ("outputs", "replicas"),
}
"""What all pieces of one array, of one tile and of one layer must agree on."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """A checked tile table: one NumPy column per name, `layer` as an index into `layers` (network order)."""

    layers: list[str]
    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        """A column, (pieces,)."""
        return self.columns[name]

    @property
    def converted_cols(self) -> np.ndarray:
        """Columns of every piece that are converted, (pieces,)."""
        return self.columns.get("converted_cols", self["cols"])

    def per_layer(self, amount: Any) -> np.ndarray:
        """Sum an amount per piece over each layer: (pieces,) -> float64 (layers,)."""
        weights = np.broadcast_to(amount, self["layer"].shape)
        return np.bincount(self["layer"], weights=weights, minlength=len(self.layers))

    def first_of(self, *names: str) -> np.ndarray:
        """True at the first piece of every distinct combination of the named columns."""
        group = np.stack([self[name] for name in names])
        mark = np.zeros(group.shape[1], dtype=bool)
        mark[np.unique(group, axis=1, return_index=True)[1]] = True
        return mark

    def newly_covered(self, start: np.ndarray, stop: np.ndarray, *names: str) -> np.ndarray:
        """How many integers of [start, stop) no piece before it, of the same named columns, has covered already.

        Summed over the pieces this is the size of the union of the intervals: a row that several pieces of an array
        use has one driver. The piece that comes first (by start, then by order in the table) is charged with it.
        """
        order = np.lexsort((np.arange(start.size), start, *(self[name] for name in reversed(names))))
        group = np.cumsum(self._new_group(order, names))
        # Lift each group above the one before, so that one running maximum serves all groups.
        lift = group * (int(stop.max()) + 1)
        reached = np.maximum.accumulate(stop[order] + lift)
        before = np.concatenate(([0], reached[:-1]))
        fresh = np.maximum(stop[order] + lift - np.maximum(before, start[order] + lift), 0)
        result = np.empty_like(fresh)
        result[order] = fresh
        return result

    def _new_group(self, order: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """True where, in the given order, a named column differs from the piece before."""
        new = np.zeros(order.size, dtype=bool)
        for name in names:
            column = self[name][order]
            new[1:] |= column[1:] != column[:-1]
        return new


def checked(tiles: pd.DataFrame) -> Pieces:
    """Check a tile table and take it apart; raises UserError naming the column and the row of the first mistake."""
    missing = [name for name in REQUIRED if name not in tiles.columns]
    if missing:
        raise UserError(f"The tile table lacks {', '.join(repr(name) for name in missing)}.")
    if not len(tiles):
        raise UserError("The tile table has no rows: nothing is placed, so there is nothing to price.")
    columns = {name: _whole(tiles, name, least=1) for name in COUNTS}
    columns |= {name: _whole(tiles, name, least=0) for name in INDICES}
    columns |= {name: _amount(tiles, name) for name in AMOUNTS}
    columns["sign"] = _whole(tiles, "sign", least=-1)
    _refuse(tiles, "sign", columns["sign"] == 0, "is neither 1 nor -1")
    if "t_read_s" in tiles.columns:
        columns["t_read_s"] = _amount(tiles, "t_read_s")
        _refuse(tiles, "t_read_s", ~(columns["t_read_s"] > 0), "is not a time above 0 s")
    columns |= {name: _whole(tiles, name, least=1) for name in OPTIONAL_COUNTS if name in tiles.columns}
    columns |= {name: _whole(tiles, name, least=0) for name in OPTIONAL_INDICES if name in tiles.columns}
    names = [str(name) for name in tiles["layer"]]
    layers = list(dict.fromkeys(names))
    number = {name: i for i, name in enumerate(layers)}
    columns["layer"] = np.array([number[name] for name in names], dtype=np.int64)
    pieces = Pieces(layers, columns)
    _check_geometry(tiles, pieces)
    return pieces


def _refuse(tiles: pd.DataFrame, name: str, bad: np.ndarray, what: str) -> None:
    """Raise for the first row that is marked bad."""
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        value: Any = tiles[name].iloc[at]
        plain = value.item() if isinstance(value, np.generic) else value
        raise UserError(f"Tile table, row {at}, column {name!r}: {plain!r} {what}.")


def _numbers(tiles: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64; text that is no number is refused."""
    import pandas as pd

    column: Any = tiles[name]
    parsed: Any = pd.to_numeric(column, errors="coerce")
    numbers = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse(tiles, name, np.isnan(numbers) & column.notna().to_numpy(), "is not a number")
    return numbers


def _whole(tiles: pd.DataFrame, name: str, least: int) -> np.ndarray:
    """A column of whole numbers, at least `least`, as int64."""
    numbers = _numbers(tiles, name)
    fits = (numbers >= least) & (numbers == np.floor(numbers)) & (numbers < 2**53)
    _refuse(tiles, name, ~fits, f"is not a whole number, at least {least}")
    return numbers.astype(np.int64)


def _amount(tiles: pd.DataFrame, name: str) -> np.ndarray:
    """A column of finite numbers, at least 0; NaN passes only in read_energy_j."""
    numbers = _numbers(tiles, name)
    fits = (numbers >= 0) & np.isfinite(numbers) | (np.isnan(numbers) & (name == "read_energy_j"))
    _refuse(tiles, name, ~fits, "is not a finite number, at least 0")
    return numbers


def _check_geometry(tiles: pd.DataFrame, pieces: Pieces) -> None:
    """Pieces lie inside their array, do not fill more cells than it has, and agree on what the array is."""
    for first, size, whole in (("row0", "rows", "array_rows"), ("col0", "cols", "array_cols")):
        over = pieces[first] + pieces[size] > pieces[whole]
        _refuse(tiles, first, over, f"puts the piece beyond its array ({first} + {size} exceeds {whole})")
    _refuse(tiles, "live_cells", pieces["live_cells"] > pieces["rows"] * pieces["cols"], "exceeds rows × cols")
    _refuse(tiles, "converted_cols", pieces.converted_cols > pieces["cols"], "exceeds cols")
    for keys, names in AGREED.items():
        group = np.stack([pieces[key] for key in keys])
        _, first_piece, index = np.unique(group, axis=1, return_index=True, return_inverse=True)
        for name in names:
            if name in pieces.columns:
                differs = pieces[name] != pieces[name][first_piece][index.reshape(-1)]
                _refuse(tiles, name, differs, f"differs from another piece of the same {' and '.join(keys)}")
    _, index = np.unique(pieces["array"], return_inverse=True)
    filled = np.bincount(index, weights=pieces["rows"] * pieces["cols"])[index]
    over = filled > pieces["array_rows"] * pieces["array_cols"]
    _refuse(tiles, "array", over, "is given more cells than the array has: its pieces overlap")
