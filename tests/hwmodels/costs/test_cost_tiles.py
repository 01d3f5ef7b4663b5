"""A tile table is checked as a whole: every mistake is refused with its column and row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import UserError, estimate
from hwmodels.costs.cost_tiles import REQUIRED, checked


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_column_is_named(name, table, small_library):
    with pytest.raises(UserError, match=rf"^The tile table lacks '{name}'\.$"):
        estimate(table({}).drop(columns=name), small_library())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": -1}, r"row 1, column 'rows': -1 is not a whole number, at least 1"),
        ({"rows": 0}, r"row 1, column 'rows': 0 is not"),
        ({"cols": 2.5}, r"row 1, column 'cols': 2\.5 is not a whole number"),
        ({"reads_per_inference": np.nan}, r"row 1, column 'reads_per_inference': nan is not"),
        ({"reads_per_inference": "many"}, r"row 1, column 'reads_per_inference': 'many' is not a number"),
        ({"live_cells": -2}, r"row 1, column 'live_cells'"),
        ({"live_cells": 25}, r"row 1, column 'live_cells': 25 exceeds rows × cols"),
        ({"max_live_per_col": 5}, r"row 1, column 'max_live_per_col': 5 exceeds rows"),
        ({"rows": True}, r"row 1, column 'rows': True is not a number"),
        ({"reads_per_inference": 2**40}, r"row 1, column 'reads_per_inference': 1099511627776 is beyond 2147483647"),
        ({"cell_bits": 60}, r"row 1, column 'cell_bits': 60 is more than 32 bits"),
        ({"layer": None}, r"row 1, column 'layer': (None|nan) is no name of a layer"),
        ({"layer": np.nan}, r"row 1, column 'layer': nan is no name of a layer"),
        ({"layer": " "}, r"row 1, column 'layer': ' ' is no name of a layer"),
        ({"tile": 0}, r"row 1: layer 'conv1' has its tile 0, sign 1, slice 0 a second time"),
        ({"array": 0, "row0": 3}, r"row 1, column 'array': 0 holds a piece that overlaps another piece"),
        ({"sign": 2}, r"row 1, column 'sign': 2 is neither 1 nor -1"),
        ({"sign": -1.5}, r"row 1, column 'sign': -1\.5 is neither 1 nor -1"),
        ({"sign": np.nan}, r"row 1, column 'sign': nan is neither"),
        ({"g_sum_s": -1e-6}, r"row 1, column 'g_sum_s': -1e-06 is not a finite number"),
        ({"g_sum_s": np.nan}, r"row 1, column 'g_sum_s': nan is not"),
        ({"read_energy_j": -1.0}, r"row 1, column 'read_energy_j'"),
        ({"read_energy_j": np.inf}, r"row 1, column 'read_energy_j'"),
        ({"sign": 0}, r"row 1, column 'sign': 0 is neither 1 nor -1"),
        ({"row0": 5}, r"row 1, column 'row0': 5 puts the piece beyond its array"),
        ({"col0": 3}, r"row 1, column 'col0': 3 puts the piece beyond its array"),
        ({"t_read_s": 0.0}, r"row 1, column 't_read_s': 0\.0 is not a time above 0 s"),
        (
            {"array": 0, "array_cols": 16},
            r"row 1, column 'array_cols': 16 differs from another piece of the same array",
        ),
        ({"tile": 0, "slice": 1, "input_cycles": 4}, r"row 1, column 'input_cycles': 4 differs .* same layer and tile"),
    ],
)
def test_a_faulty_table_is_refused_with_column_and_row(change, words, table, small_library):
    tiles = table({"t_read_s": 1e-7}, {"t_read_s": 1e-7, "array": 1, "tile": 1} | change)
    with pytest.raises(UserError, match=words):
        estimate(tiles, small_library())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pieces_that_overlap_are_found_as_painting_the_cells_finds_them(data, table):
    boxes = [
        (data.draw(st.integers(0, 1)), *(data.draw(st.integers(0, 5)) for _ in range(2)), data.draw(st.integers(1, 3)))
        for _ in range(data.draw(st.integers(2, 5)))
    ]
    tiles = table(
        *(
            {"array": array, "tile": i, "row0": row, "col0": col, "rows": size, "cols": 4 - size}
            | {"live_cells": 0, "max_live_per_col": 0}
            for i, (array, row, col, size) in enumerate(boxes)
        )
    ).assign(array_rows=16, array_cols=16)
    painted = np.zeros((2, 16, 16), dtype=int)
    for array, row, col, size in boxes:
        painted[array, row : row + size, col : col + 4 - size] += 1
    if painted.max() > 1:
        with pytest.raises(UserError, match="overlaps another piece of the same array"):
            checked(tiles)
    else:
        assert checked(tiles).layers == ["conv1"]


def test_an_empty_table_is_refused(table, small_library):
    with pytest.raises(UserError, match="has no rows"):
        estimate(table({}).iloc[:0], small_library())


def test_the_table_is_left_alone(table, small_library):
    tiles = table({}, {"array": 1, "tile": 1})
    kept = tiles.copy()
    estimate(tiles, small_library())
    pd.testing.assert_frame_equal(tiles, kept)
    assert checked(tiles).layers == ["conv1"]
