"""What holds of the cost of any placement: sums add up, less never costs more, order does not matter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import estimate


@st.composite
def placements(draw):
    """Pieces of a few layers, as rows of a tile table, stacked without overlap on shared arrays of 16 × 16."""
    rows = []
    vectors = draw(st.lists(st.integers(1, 9), min_size=12, max_size=12))
    for array in range(draw(st.integers(1, 4))):
        at = 0
        for _ in range(draw(st.integers(1, 3))):
            height = draw(st.integers(1, 5))
            width = draw(st.integers(1, 16))
            tile, layer = draw(st.integers(0, 3)), draw(st.integers(0, 2))
            rows.append(
                {"array": array, "tile": tile, "layer": "abc"[layer], "reads_per_inference": vectors[4 * layer + tile]}
                | {"row0": at, "rows": height, "col0": draw(st.integers(0, 16 - width)), "cols": width}
                | {"array_rows": 16, "array_cols": 16, "live_cells": 0, "cols_per_adc": 4}
                | {"sign": draw(st.sampled_from([1, -1])), "slice": len(rows), "max_live_per_col": 0}
            )
            at += height
    return rows


MONOTONE = ("area_mm2", "energy_nj", "power_mw", "power_peak_mw", "latency_us", "arrays")


@settings(max_examples=40, deadline=None)
@given(pieces=placements(), data=st.data())
def test_dropping_a_row_a_column_or_a_piece_never_raises_a_total(pieces, data, table, small_library):
    tiles = table(*pieces)
    library = small_library()
    before = estimate(tiles, library, frame_rate_hz=1.0).totals
    at = data.draw(st.integers(0, len(tiles) - 1))
    what = data.draw(st.sampled_from(["rows", "cols", "piece"]))
    if what == "piece" or tiles[what].iloc[at] == 1:
        smaller = tiles.drop(index=at).reset_index(drop=True)
    else:
        smaller = tiles.copy()
        smaller.loc[at, what] -= 1  # the pieces hold no weights, so nothing else of them changes
    if smaller.empty:
        return
    after = estimate(smaller, library, frame_rate_hz=1.0).totals
    for name in MONOTONE:
        assert after[name] <= before[name] * (1 + 1e-12), name


@settings(max_examples=40, deadline=None)
@given(pieces=placements())
def test_components_layers_and_totals_add_up(pieces, table, small_library):
    tiles = table(*pieces)
    result = estimate(tiles, small_library())
    for name in ("area_mm2", "energy_nj", "power_mw"):
        assert result.layers[name].sum() == pytest.approx(result.totals[name])
        assert result.table[name].sum() == pytest.approx(result.totals[name])
        by_layer = result.table.groupby("layer", sort=False)[name].sum()
        assert by_layer.tolist() == pytest.approx(result.layers[name].tolist())
    assert result.layers["arrays"].sum() == result.totals["arrays"] == tiles["array"].nunique()
    assert result.layers["latency_us"].sum() == pytest.approx(result.totals["latency_us"])
    assert (result.table[["count", "area_mm2", "energy_nj", "power_mw", "power_peak_mw"]] >= 0).all().all()


@settings(max_examples=40, deadline=None)
@given(pieces=placements())
def test_shared_rows_and_column_groups_are_counted_once(pieces, table, small_library, component):
    tiles = table(*pieces)
    # brute force: sets of (array, row) and (array, group), against the interval arithmetic of the model
    rows, groups = set(), set()
    for piece in tiles.itertuples():
        rows |= {(piece.array, r) for r in range(piece.row0, piece.row0 + piece.rows)}
        groups |= {(piece.array, c // 4) for c in range(piece.col0, piece.col0 + piece.cols)}
    result = estimate(tiles, small_library())
    assert component(result, "dac")[0] == len(rows)
    assert component(result, "adc")[0] == len(groups)


@settings(max_examples=20, deadline=None)
@given(pieces=placements(), seed=st.integers(0, 99))
def test_the_order_of_the_pieces_changes_no_total(pieces, seed, table, small_library):
    tiles = table(*pieces)
    shuffled = tiles.sample(frac=1, random_state=seed)
    assert estimate(shuffled, small_library()).totals == pytest.approx(estimate(tiles, small_library()).totals)
