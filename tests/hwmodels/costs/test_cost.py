import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import Library, UserError, estimate, spec_files
from hwmodels.costs.cost_tiles import REQUIRED, checked

PIECE = {
    "array": 0,
    "layer": "conv1",
    "tile": 0,
    "sign": 1,
    "slice": 0,
    "row0": 0,
    "col0": 0,
    "rows": 4,
    "cols": 6,
    "array_rows": 8,
    "array_cols": 8,
    "live_cells": 20,
    "max_live_per_col": 4,
    "cell_bits": 4,
    "reads_per_inference": 10,
    "input_cycles": 8,
    "dac_bits": 1,
    "adc_bits": 8,
    "cols_per_adc": 4,
    "g_sum_s": 1e-4,
    "read_energy_j": 2e-12,
}


def table(*changes):
    """A tile table: one row per dict of changes against PIECE."""
    return pd.DataFrame([PIECE | change for change in changes])


def quantity(value, unit):
    return {"value": value, "unit": unit, "source": "a test"}


def small_library(**changes):
    """A library of round numbers, every unit for one row, column or array, so that each term can be done by hand."""

    def part(area, power, energy, serves=None):
        numbers = {"area": quantity(area, "um2"), "power": quantity(power, "uW"), "energy": quantity(energy, "pJ")}
        return numbers | ({"serves": quantity(*serves)} if serves else {})

    content = {
        "name": "small",
        "description": "round numbers",
        "reading": {"voltage": quantity(0.5, "V"), "time": quantity(100.0, "ns")},
        "cell": {"area": quantity(0.01, "um2")},
        "dac": {"rate": quantity(10.0, "MS/s"), "bits": {1: part(1.0, 3.0, 2.0), 2: part(2.0, 6.0, 4.0)}},
        "adc": {
            "rate": quantity(1.0, "GS/s"),
            "bits": {8: {"area": quantity(1000.0, "um2"), "power": quantity(2.0, "mW")}},
        },
        "sample_hold": part(0.1, 0.2, 0.3),
        "shift_add": part(10.0, 20.0, 0.5, (4, "columns")),
        "output_register": part(5.0, 6.0, 0.25),
        "adder": part(7.0, 8.0, 0.125),
        "accumulator": part(3.0, 4.0, 0.0625),
        "input_register": part(11.0, 12.0, 0.75),
        "buffer": part(13.0, 14.0, 0.05),
        "bus": part(15.0, 16.0, 0.025),
        "router": part(17.0, 18.0, 0.01),
        "activation": part(19.0, 20.0, 1.5),
        "pooling": part(21.0, 22.0, 2.5),
    }
    return spec_files.validated(Library, content | changes, "small library")


def component(result, name, layer=None):
    rows = result.table[result.table["component"] == name]
    rows = rows if layer is None else rows[rows["layer"] == layer]
    return rows[["count", "area_mm2", "energy_nj", "power_peak_mw"]].sum().tolist()


# one piece, 4 rows × 6 columns on an 8 × 8 array, 10 vectors of 8 one-bit cycles, 2 converters for 4 columns each
VECTORS, CYCLES = 10, 80
BY_HAND = {
    # count, area [um2], energy [pJ], peak [uW]
    "cell": (64, 64 * 0.01, 10 * 2.0, 2e-12 / 8 / 100e-9 * 1e6),
    "dac": (4, 4 * 1.0, 4 * CYCLES * 2.0, 4 * 3.0),
    "adc": (2, 2 * 1000.0, 6 * CYCLES * 2.0, 2 * 2000.0),  # 2 mW / 1 GS/s = 2 pJ
    "sample_hold": (6, 6 * 0.1, 6 * CYCLES * 0.3, 6 * 0.2),
    "shift_add": (6, 6 * 10.0 / 4, 6 * CYCLES * 0.5, 6 * 20.0 / 4),
    "output_register": (6, 6 * 5.0, 6 * CYCLES * 0.25, 6 * 6.0),
    "adder": (6, 6 * 7.0, 6 * VECTORS * 0.125, 6 * 8.0),
    "accumulator": (6, 6 * 3.0, 6 * VECTORS * 0.0625, 6 * 4.0),
    "input_register": (4, 4 * 11.0, 4 * CYCLES * 1 * 0.75, 4 * 12.0),
    "buffer": (4, 4 * 13.0, 2 * (4 + 6) * VECTORS * 8 * 0.05, 4 * 14.0),
    "bus": (4, 4 * 15.0, (4 + 6) * VECTORS * 8 * 0.025, 4 * 16.0),
    "router": (1, 17.0, (4 + 6) * VECTORS * 8 * 0.01, 18.0),
    "activation": (1, 19.0, 6 * VECTORS * 1.5, 20.0),
    "pooling": (1, 21.0, 6 * VECTORS * 2.5, 22.0),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_one_piece_by_hand(name):
    count, area, energy, peak = BY_HAND[name]
    found = component(estimate(table({}), small_library()), name)
    assert found == pytest.approx([count, area * 1e-6, energy * 1e-3, peak * 1e-3], rel=1e-12)


def test_one_piece_by_hand_in_total():
    result = estimate(table({}), small_library())
    assert set(BY_HAND) == set(result.table["component"])
    energy = sum(energy for _, _, energy, _ in BY_HAND.values()) * 1e-3
    # 80 reads of max(100 ns, 4 columns / 1 GS/s) each
    latency = 80 * 100e-9
    assert result.totals["latency_us"] == pytest.approx(latency * 1e6)
    assert result.totals["full_rate_hz"] == result.totals["frame_rate_hz"] == pytest.approx(1 / latency)
    assert result.totals["energy_nj"] == pytest.approx(energy)
    assert result.totals["power_mw"] == pytest.approx(energy * 1e-9 / latency * 1e3)
    assert result.totals["area_mm2"] == pytest.approx(sum(area for _, area, _, _ in BY_HAND.values()) * 1e-6)
    assert result.totals["arrays"] == 1


def test_the_slower_of_array_and_converter_sets_the_pace():
    slow = small_library(adc={"rate": quantity(20.0, "MS/s"), "bits": small_bits()})
    assert estimate(table({}), slow).totals["latency_us"] == pytest.approx(80 * 4 / 20)
    # a converter never serves more columns than its array has
    wide = table({"cols_per_adc": 100})
    assert estimate(wide, slow).totals["latency_us"] == pytest.approx(80 * 8 / 20)
    # a column t_read_s overrides the library's time
    assert estimate(table({"t_read_s": 1e-6}), slow).totals["latency_us"] == pytest.approx(80 * 1.0)


def small_bits():
    return {8: {"area": quantity(1000.0, "um2"), "power": quantity(2.0, "mW")}}


def test_unknown_read_energy_is_assumed_from_the_conductances_and_said():
    result = estimate(table({"read_energy_j": np.nan}), small_library())
    assert component(result, "cell")[2] == pytest.approx(1e-4 * 0.5**2 * 100e-9 * CYCLES * 1e9)
    assert any("1 of 1 pieces is not known" in sentence for sentence in result.assumptions)
    assert not any("pieces is not known" in s for s in estimate(table({}), small_library()).assumptions)


def test_zero_bits_mean_no_converter():
    with_adc, without = (estimate(table({"adc_bits": bits}), small_library()) for bits in (8, 0))
    assert component(without, "adc") == [0, 0, 0, 0]
    assert with_adc.totals["area_mm2"] - without.totals["area_mm2"] == pytest.approx(2 * 1000e-6)
    analog = estimate(table({"dac_bits": 0}), small_library())
    assert component(analog, "dac") == [0, 0, 0, 0]
    assert component(analog, "bus")[2] == 0


def test_both_signs_on_one_array_share_its_cells_rows_and_inputs():
    # two signs side by side: columns 0-2 and 3-5 of the same rows, one read for both
    pair = table({"cols": 3, "live_cells": 9}, {"cols": 3, "live_cells": 9, "col0": 3, "sign": -1})
    one, two = estimate(table({}), small_library()), estimate(pair, small_library())
    for name in ("dac", "adc", "sample_hold", "input_register"):
        assert component(two, name) == pytest.approx(component(one, name)), name
    assert component(two, "cell")[:2] == component(one, "cell")[:2]
    assert two.totals["arrays"] == 1
    assert two.totals["latency_us"] == one.totals["latency_us"]
    # both halves add up to the same three outputs, so less leaves the array
    assert component(two, "bus")[2] == pytest.approx((4 + 3) * VECTORS * 8 * 0.025e-3)


def test_signs_on_two_arrays_fetch_their_inputs_once():
    result = estimate(table({}, {"array": 1, "sign": -1}), small_library())
    assert component(result, "dac") == pytest.approx([8, 8e-6, 8 * CYCLES * 2e-3, 24e-3])
    assert component(result, "bus")[2] == pytest.approx((4 + 6) * VECTORS * 8 * 0.025e-3)
    assert result.totals["arrays"] == 2
    assert result.totals["latency_us"] == pytest.approx(8.0)


def test_a_second_input_phase_repeats_the_reads_and_not_the_fetch():
    # inputs of both signs: 10 vectors of 8 one-bit cycles, applied twice
    once, twice = (
        estimate(table({"input_phases": n, "input_cycles": 8 * n}), small_library(), frame_rate_hz=1.0) for n in (1, 2)
    )
    repeated = ("dac", "adc", "sample_hold", "shift_add", "output_register", "input_register")
    for name in repeated:
        assert component(twice, name)[2] == pytest.approx(2 * component(once, name)[2]), name
    assert component(twice, "buffer")[2] == pytest.approx(2 * (4 + 6) * VECTORS * 8 * 0.05e-3)
    assert component(twice, "bus")[2] == pytest.approx((4 + 6) * VECTORS * 8 * 0.025e-3)
    assert component(twice, "router")[2] == pytest.approx((4 + 6) * VECTORS * 8 * 0.01e-3)
    assert twice.totals["latency_us"] == pytest.approx(16.0)
    # without the column every cycle brings new bits
    unsaid = estimate(table({"input_cycles": 16}), small_library(), frame_rate_hz=1.0)
    assert component(unsaid, "bus")[2] == pytest.approx((4 + 6) * VECTORS * 16 * 0.025e-3)
    with pytest.raises(UserError, match="'input_phases': 3 does not divide input_cycles"):
        estimate(table({"input_phases": 3}), small_library())


def test_who_says_how_long_a_read_takes_is_said():
    def about(result, words):
        return [sentence for sentence in result.assumptions if words in sentence]

    silent, same, other = (estimate(table(t), small_library()) for t in ({}, {"t_read_s": 1e-7}, {"t_read_s": 2e-7}))
    assert about(silent, "An array read takes") == ["An array read takes the library's 100 ns."]
    assert about(same, "An array read takes") == []
    assert about(other, "An array read takes") == [
        "An array read takes what the array states (200 ns); the library's 100 ns is not used."
    ]
    assert other.totals["latency_us"] == pytest.approx(2 * silent.totals["latency_us"])
    assert about(silent, "the library's 0.5 V is not used")
    assert not about(estimate(table({"read_energy_j": np.nan}), small_library()), "is not used")


def test_tiles_that_share_an_array_take_turns():
    shared = table({}, {"tile": 1, "row0": 4})
    apart = table({}, {"tile": 1, "array": 1})
    assert estimate(shared, small_library()).totals["latency_us"] == pytest.approx(16.0)
    assert estimate(apart, small_library()).totals["latency_us"] == pytest.approx(8.0)


def test_layers_that_share_an_array_share_its_time_and_its_parts():
    shared = table({}, {"layer": "fc", "tile": 1, "row0": 2, "col0": 4, "rows": 6, "reads_per_inference": 1})
    with pytest.raises(UserError, match="holds a piece that overlaps another piece of the same array"):
        estimate(table({}, {"rows": 8, "cols": 8, "tile": 1, "live_cells": 0}), small_library())
    result = estimate(shared.assign(cols=4, live_cells=8), small_library())
    assert result.totals["arrays"] == 1
    assert component(result, "cell")[0] == 64
    assert component(result, "dac")[0] == 8  # rows 0-3 and 2-7
    assert component(result, "dac", "fc")[0] == 4
    assert component(result, "sample_hold")[0] == 8  # columns 0-3 and 4-7
    assert component(result, "adc")[0] == 2
    assert result.layers["latency_us"].tolist() == pytest.approx([8.0, 0.8])
    assert result.totals["full_rate_hz"] == pytest.approx(1 / 8.8e-6)


def test_a_dropped_column_group_saves_its_converter():
    tables = [table({"cols": n, "live_cells": 0}) for n in (8, 5, 4, 1)]
    counts = [component(estimate(tiles, small_library()), "adc")[0] for tiles in tables]
    assert counts == [2, 2, 1, 1]
    assert component(estimate(table({"cols": 2, "col0": 3, "live_cells": 0}), small_library()), "adc")[0] == 2


def test_layers_keep_the_order_of_the_network():
    result = estimate(table({"layer": "z"}, {"layer": "a", "array": 1}), small_library())
    assert result.layers["layer"].tolist() == ["z", "a"]
    assert result.table["layer"].unique().tolist() == ["z", "a"]
    assert result.table["component"].tolist()[: len(BY_HAND)] == list(BY_HAND)


def test_outputs_may_be_given():
    # two tiles that add up to the same six outputs
    two = table({}, {"tile": 1, "array": 1})
    known = estimate(two.assign(outputs=6), small_library())
    bound = estimate(two, small_library())
    assert component(known, "activation")[2] == pytest.approx(6 * VECTORS * 1.5e-3)
    assert component(bound, "activation")[2] == pytest.approx(12 * VECTORS * 1.5e-3)
    assert any("how many outputs" in sentence for sentence in bound.assumptions)
    assert not any("how many outputs" in sentence for sentence in known.assumptions)


def test_power_is_energy_times_frame_rate_plus_leakage():
    part = {"area": quantity(1.0, "um2"), "power": quantity(1.0, "uW"), "leakage": quantity(5.0, "uW")}
    plain, leaky = small_library(), small_library(router=part)
    slow = estimate(table({}), plain, frame_rate_hz=100.0)
    assert slow.totals["power_mw"] == pytest.approx(slow.totals["energy_nj"] * 1e-9 * 100 * 1e3)
    assert slow.totals["power_peak_mw"] == estimate(table({}), plain).totals["power_peak_mw"]
    result = estimate(table({}), leaky, frame_rate_hz=100.0)
    assert result.totals["power_mw"] == pytest.approx(result.totals["energy_nj"] * 1e-9 * 100 * 1e3 + 5e-3)
    assert any("states no leakage" in sentence for sentence in slow.assumptions)
    assert not any("states no leakage" in sentence for sentence in result.assumptions)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_is_a_finite_number_above_zero(rate):
    with pytest.raises(UserError, match="frame_rate_hz is a finite number above 0"):
        estimate(table({}), small_library(), frame_rate_hz=rate)


def test_a_frame_rate_beyond_the_full_rate_is_refused():
    with pytest.raises(UserError, match=r"^frame_rate_hz = 130000 is beyond the placement's full rate of 125000 Hz"):
        estimate(table({}), small_library(), frame_rate_hz=130000.0)
    assert estimate(table({}), small_library(), frame_rate_hz=125000.0).totals["frame_rate_hz"] == 125000.0


def test_a_full_isaac_tile_at_full_rate_draws_what_table_1_prints():
    # 96 arrays of 128 × 128, 16-bit inputs over 16 cycles, 8 columns a weight: every unit of the tile is busy
    rows = [
        {"array": i, "tile": i, "rows": 128, "cols": 128, "array_rows": 128, "array_cols": 128, "cols_per_adc": 128}
        | {"input_cycles": 16, "reads_per_inference": 1, "live_cells": 128 * 128, "read_energy_j": 0.3e-3 * 1.6e-6}
        for i in range(96)
    ]
    result = estimate(table(*rows).assign(outputs=1536), "isaac-32nm")
    # inputs of 96 tiles; 1536 outputs
    assert result.totals["latency_us"] == pytest.approx(1.6)
    assert result.totals["power_peak_mw"] == pytest.approx(329.8, rel=3e-3)
    assert result.totals["power_mw"] == pytest.approx(329.8, rel=3e-3)
    assert result.totals["area_mm2"] == pytest.approx(0.372, rel=3e-3)
    gops = 96 * 2 * 128 * 16 * result.totals["full_rate_hz"] / 1e9
    assert 168 * gops == pytest.approx(41288, rel=3e-3)


def test_sources_name_what_was_used_and_nothing_else():
    result = estimate(table({"cols_per_adc": 8}), "isaac-32nm")
    keys = {"component", "quantity", "value", "unit", "node_nm", "source"}
    assert all(set(row) == keys and row["source"] for row in result.sources)
    named = {row["component"] for row in result.sources}
    assert {"adc 8 bit", "dac 1 bit", "adc", "cell", "router", "buffer"} <= named
    assert not {"adc 4 bit", "dac 2 bit", "hypertransport", "organisation"} & named


def test_assumptions_are_sentences():
    for library in Library.names():
        bits = 4 if library == "forms-32nm" else 8
        result = estimate(table({"adc_bits": bits, "dac_bits": 1}), library)
        assert len(result.assumptions) == len(set(result.assumptions)) > 5
        assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in result.assumptions)


def test_a_library_without_a_part_counts_none_and_says_so():
    result = estimate(table({"adc_bits": 4}), "forms-32nm")
    assert "router" not in set(result.table["component"])
    assert any("lists no adder, accumulator, bus, router" in sentence for sentence in result.assumptions)


def test_a_converter_that_the_library_lacks_is_refused():
    with pytest.raises(UserError, match=r"'forms-32nm' has no 8-bit converter \(adc_bits\); it lists 4 bits"):
        estimate(table({}), "forms-32nm")
    with pytest.raises(UserError, match=r"has no 5-bit driver \(dac_bits\); it lists 1, 2, 3, 4, 6, 8 bits"):
        estimate(table({"dac_bits": 5}), "isaac-32nm")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_column_is_named(name):
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
def test_a_faulty_table_is_refused_with_column_and_row(change, words):
    tiles = table({"t_read_s": 1e-7}, {"t_read_s": 1e-7, "array": 1, "tile": 1} | change)
    with pytest.raises(UserError, match=words):
        estimate(tiles, small_library())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pieces_that_overlap_are_found_as_painting_the_cells_finds_them(data):
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


def test_an_empty_table_is_refused():
    with pytest.raises(UserError, match="has no rows"):
        estimate(table({}).iloc[:0], small_library())


# ------------------------------------------------------------------- properties


@st.composite
def placements(draw):
    """Tile tables of a few layers: pieces stacked without overlap on shared arrays of 16 × 16."""
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
    return table(*rows)


MONOTONE = ("area_mm2", "energy_nj", "power_mw", "power_peak_mw", "latency_us", "arrays")


@settings(max_examples=40, deadline=None)
@given(tiles=placements(), data=st.data())
def test_dropping_a_row_a_column_or_a_piece_never_raises_a_total(tiles, data):
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
@given(tiles=placements())
def test_components_layers_and_totals_add_up(tiles):
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
@given(tiles=placements())
def test_shared_rows_and_column_groups_are_counted_once(tiles):
    # brute force: sets of (array, row) and (array, group), against the interval arithmetic of the model
    rows, groups = set(), set()
    for piece in tiles.itertuples():
        rows |= {(piece.array, r) for r in range(piece.row0, piece.row0 + piece.rows)}
        groups |= {(piece.array, c // 4) for c in range(piece.col0, piece.col0 + piece.cols)}
    result = estimate(tiles, small_library())
    assert component(result, "dac")[0] == len(rows)
    assert component(result, "adc")[0] == len(groups)


@settings(max_examples=20, deadline=None)
@given(tiles=placements(), seed=st.integers(0, 99))
def test_the_order_of_the_pieces_changes_no_total(tiles, seed):
    shuffled = tiles.sample(frac=1, random_state=seed)
    assert estimate(shuffled, small_library()).totals == pytest.approx(estimate(tiles, small_library()).totals)


def test_the_table_is_left_alone():
    tiles = table({}, {"array": 1, "tile": 1})
    kept = tiles.copy()
    estimate(tiles, small_library())
    pd.testing.assert_frame_equal(tiles, kept)
    assert checked(tiles).layers == ["conv1"]
