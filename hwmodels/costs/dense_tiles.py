"""A tile table from matrix sizes alone, for people who have no placement: dense matrices cut into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One layer as the arrays see it: rows (inputs) × cols (outputs), and its input vectors per inference."""

    name: str
    rows: int
    cols: int
    reads_per_inference: int = 1


def dense_tiles(
    matrices: Sequence[Matrix],
    *,
    array_rows: int = 128,
    array_cols: int = 128,
    signs: int = 2,
    slices: int = 1,
    cell_bits: int = 4,
    input_bits: int = 8,
    dac_bits: int = 1,
    adc_bits: int = 8,
    cols_per_adc: int | None = None,
    g_mean_s: float = 0.0,
    slices_share_array: bool = False,
) -> pd.DataFrame:
    """The tile table of dense matrices, every tile on arrays of its own, as `hwmodels.estimate` reads it.

    signs: 2 for a positive and a negative array, 1 for one; slices: arrays per sign; input_bits, dac_bits: an input
    takes ceil(input_bits / dac_bits) reads; cols_per_adc: None for all columns of an array; g_mean_s: mean conductance
    of a cell [S], from which the read energy is assumed (every row driven). slices_share_array: the slices of a weight
    stand on neighbouring columns of one array, array_cols // slices weights a row, instead of on arrays of their own.
    Raises UserError for sizes below 1, or an array narrower than the slices that share it.
    """
    import pandas as pd

    sizes = {"array_rows": array_rows, "array_cols": array_cols, "signs": signs, "slices": slices}
    sizes |= {f"{m.name}: {key}": getattr(m, key) for m in matrices for key in ("rows", "cols", "reads_per_inference")}
    for name, size in (sizes | {"input_bits": input_bits, "dac_bits": dac_bits}).items():
        if size < 1:
            raise UserError(f"{name} is at least 1, not {size!r}.")
    weight_cols = array_cols // slices if slices_share_array else array_cols
    if weight_cols < 1:
        raise UserError(f"array_cols = {array_cols} is less than the {slices} slices that share an array.")
    rows = []
    for matrix in matrices:
        tile = 0
        for row in range(0, matrix.rows, array_rows):
            for col in range(0, matrix.cols, weight_cols):
                extent = (min(array_rows, matrix.rows - row), min(weight_cols, matrix.cols - col))
                rows += [(matrix, tile, sign, part, *extent) for sign in (1, -1)[:signs] for part in range(slices)]
                tile += 1
    count = len(rows)
    height, width, part = (np.array([entry[i] for entry in rows]) for i in (4, 5, 3))
    return pd.DataFrame(
        {
            "array": np.arange(count) // (slices if slices_share_array else 1),
            "layer": [entry[0].name for entry in rows],
            "tile": [entry[1] for entry in rows],
            "sign": [entry[2] for entry in rows],
            "slice": [entry[3] for entry in rows],
            "row0": 0,
            "col0": part * width if slices_share_array else 0,
            "rows": height,
            "cols": width,
            "array_rows": array_rows,
            "array_cols": array_cols,
            "live_cells": height * width,
            "max_live_per_col": height,
            "cell_bits": cell_bits,
            "reads_per_inference": [entry[0].reads_per_inference for entry in rows],
            "input_cycles": -(-input_bits // dac_bits),
            "dac_bits": dac_bits,
            "adc_bits": adc_bits,
            "cols_per_adc": array_cols if cols_per_adc is None else cols_per_adc,
            "g_sum_s": height * width * g_mean_s,
            "read_energy_j": np.nan,
            "outputs": [entry[0].cols for entry in rows],
        }
    )
