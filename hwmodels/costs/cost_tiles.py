"""The columns that the cost model reads of a tile table, checked once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.costs.pieces import Pieces
from hwmodels.costs.tile_checks import check_geometry, refuse
from hwmodels.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 2**31 - 1
"""Whole numbers beyond this are mistakes of a table, and their products would not fit 64 bits."""
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
OPTIONAL_COUNTS = ("outputs", "replicas", "input_phases")
"""Columns of whole numbers, at least 1, that may be missing.

outputs: values that the layer gives per input vector; replicas: copies of the layer's arrays; input_phases: times that
an input vector is applied (2 where inputs have both signs), a divisor of input_cycles: the array reads of all phases.
"""
OPTIONAL_INDICES = ("converted_cols", "adc_bits_needed")
"""Columns of whole numbers, at least 0, that may be missing.

converted_cols: how many of a piece's columns are converted, at most `cols` and counted from its first; 0 where their
currents are subtracted from another piece's before its converters (the negative half of a pair, a dummy column).
Missing: all of them. adc_bits_needed: bits with which no column sum of the piece can clip, as whoever made the table
knows its encoding; missing: from the live cells, levels and input bits, as if the cells were read one by one.
"""
MOST_BITS = {"cell_bits": 32, "dac_bits": 32, "adc_bits": 32}
"""Resolutions beyond this are mistakes of a table."""
REQUIRED = ("layer", "sign", *COUNTS, *INDICES, *AMOUNTS)


def checked(tiles: pd.DataFrame) -> Pieces:
    """Check a tile table and take it apart; raises UserError naming the column and the row of the first mistake."""
    missing = [name for name in REQUIRED if name not in tiles.columns]
    if missing:
        raise UserError(f"The tile table lacks {', '.join(repr(name) for name in missing)}.")
    if not len(tiles):
        raise UserError("The tile table has no rows: nothing is placed, so there is nothing to price.")
    names = _layer_names(tiles)
    layers = list(dict.fromkeys(names))
    number = {name: i for i, name in enumerate(layers)}
    columns = {"layer": np.array([number[name] for name in names], dtype=np.int64), "sign": _signs(tiles)}
    columns |= {name: _whole(tiles, name, least=1) for name in COUNTS}
    columns |= {name: _whole(tiles, name, least=0) for name in INDICES}
    columns |= {name: _amount(tiles, name) for name in AMOUNTS}
    if "t_read_s" in tiles.columns:
        columns["t_read_s"] = _amount(tiles, "t_read_s")
        refuse(tiles, "t_read_s", ~(columns["t_read_s"] > 0), "is not a time above 0 s")
    columns |= {name: _whole(tiles, name, least=1) for name in OPTIONAL_COUNTS if name in tiles.columns}
    columns |= {name: _whole(tiles, name, least=0) for name in OPTIONAL_INDICES if name in tiles.columns}
    for name, most in MOST_BITS.items():
        refuse(tiles, name, columns[name] > most, f"is more than {most} bits")
    pieces = Pieces(layers, columns)
    check_geometry(tiles, pieces)
    return pieces


def _layer_names(tiles: pd.DataFrame) -> list[str]:
    """The names of the layers; a whole number counts as a name, nothing and blank text do not."""
    unnamed = tiles["layer"].isna().to_numpy() | np.array([not str(name).strip() for name in tiles["layer"]])
    refuse(tiles, "layer", unnamed, "is no name of a layer")
    return [str(name) for name in tiles["layer"]]


def _signs(tiles: pd.DataFrame) -> np.ndarray:
    """The signs, int64, each 1 or -1."""
    signs = _numbers(tiles, "sign")
    refuse(tiles, "sign", ~np.isin(signs, (1, -1)), "is neither 1 nor -1")
    return signs.astype(np.int64)


def _numbers(tiles: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64; text that is no number is refused, and so are True and False."""
    import pandas as pd

    column: Any = tiles[name]
    if column.dtype.kind not in "iuf":
        yes_or_no = np.array([isinstance(value, (bool, np.bool_)) for value in column])
        refuse(tiles, name, yes_or_no, "is not a number")
    parsed: Any = pd.to_numeric(column, errors="coerce")
    numbers = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    refuse(tiles, name, np.isnan(numbers) & column.notna().to_numpy(), "is not a number")
    return numbers


def _whole(tiles: pd.DataFrame, name: str, least: int) -> np.ndarray:
    """A column of whole numbers, from `least` to `LARGEST`, as int64."""
    numbers = _numbers(tiles, name)
    fits = (numbers >= least) & (numbers == np.floor(numbers))
    refuse(tiles, name, ~fits, f"is not a whole number, at least {least}")
    refuse(tiles, name, numbers > LARGEST, f"is beyond {LARGEST}")
    return numbers.astype(np.int64)


def _amount(tiles: pd.DataFrame, name: str) -> np.ndarray:
    """A column of finite numbers, at least 0; NaN passes only in read_energy_j."""
    numbers = _numbers(tiles, name)
    fits = (numbers >= 0) & np.isfinite(numbers) | (np.isnan(numbers) & (name == "read_energy_j"))
    refuse(tiles, name, ~fits, "is not a finite number, at least 0")
    return numbers
