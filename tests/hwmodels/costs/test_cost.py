"""The cost of one piece by hand, and what pieces, tiles and layers share."""

import pytest

from hwmodels import UserError, estimate

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
def test_one_piece_by_hand(name, table, small_library, component):
    count, area, energy, peak = BY_HAND[name]
    found = component(estimate(table({}), small_library()), name)
    assert found == pytest.approx([count, area * 1e-6, energy * 1e-3, peak * 1e-3], rel=1e-12)


def test_one_piece_by_hand_in_total(table, small_library):
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


def test_the_slower_of_array_and_converter_sets_the_pace(table, small_library, quantity):
    bits = {8: {"area": quantity(1000.0, "um2"), "power": quantity(2.0, "mW")}}
    slow = small_library(adc={"rate": quantity(20.0, "MS/s"), "bits": bits})
    assert estimate(table({}), slow).totals["latency_us"] == pytest.approx(80 * 4 / 20)
    # a converter never serves more columns than its array has
    wide = table({"cols_per_adc": 100})
    assert estimate(wide, slow).totals["latency_us"] == pytest.approx(80 * 8 / 20)
    # a column t_read_s overrides the library's time
    assert estimate(table({"t_read_s": 1e-6}), slow).totals["latency_us"] == pytest.approx(80 * 1.0)


def test_zero_bits_mean_no_converter(table, small_library, component):
    with_adc, without = (estimate(table({"adc_bits": bits}), small_library()) for bits in (8, 0))
    assert component(without, "adc") == [0, 0, 0, 0]
    assert with_adc.totals["area_mm2"] - without.totals["area_mm2"] == pytest.approx(2 * 1000e-6)
    analog = estimate(table({"dac_bits": 0}), small_library())
    assert component(analog, "dac") == [0, 0, 0, 0]
    assert component(analog, "bus")[2] == 0


def test_both_signs_on_one_array_share_its_cells_rows_and_inputs(table, small_library, component):
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


def test_signs_on_two_arrays_fetch_their_inputs_once(table, small_library, component):
    result = estimate(table({}, {"array": 1, "sign": -1}), small_library())
    assert component(result, "dac") == pytest.approx([8, 8e-6, 8 * CYCLES * 2e-3, 24e-3])
    assert component(result, "bus")[2] == pytest.approx((4 + 6) * VECTORS * 8 * 0.025e-3)
    assert result.totals["arrays"] == 2
    assert result.totals["latency_us"] == pytest.approx(8.0)


def test_a_second_input_phase_repeats_the_reads_and_not_the_fetch(table, small_library, component):
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


def test_tiles_that_share_an_array_take_turns(table, small_library):
    shared = table({}, {"tile": 1, "row0": 4})
    apart = table({}, {"tile": 1, "array": 1})
    assert estimate(shared, small_library()).totals["latency_us"] == pytest.approx(16.0)
    assert estimate(apart, small_library()).totals["latency_us"] == pytest.approx(8.0)


def test_layers_that_share_an_array_share_its_time_and_its_parts(table, small_library, component):
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


def test_a_dropped_column_group_saves_its_converter(table, small_library, component):
    tables = [table({"cols": n, "live_cells": 0}) for n in (8, 5, 4, 1)]
    counts = [component(estimate(tiles, small_library()), "adc")[0] for tiles in tables]
    assert counts == [2, 2, 1, 1]
    assert component(estimate(table({"cols": 2, "col0": 3, "live_cells": 0}), small_library()), "adc")[0] == 2


def test_layers_keep_the_order_of_the_network(table, small_library):
    result = estimate(table({"layer": "z"}, {"layer": "a", "array": 1}), small_library())
    assert result.layers["layer"].tolist() == ["z", "a"]
    assert result.table["layer"].unique().tolist() == ["z", "a"]
    assert result.table["component"].tolist()[: len(BY_HAND)] == list(BY_HAND)


def test_outputs_may_be_given(table, small_library, component):
    # two tiles that add up to the same six outputs
    two = table({}, {"tile": 1, "array": 1})
    known = estimate(two.assign(outputs=6), small_library())
    bound = estimate(two, small_library())
    assert component(known, "activation")[2] == pytest.approx(6 * VECTORS * 1.5e-3)
    assert component(bound, "activation")[2] == pytest.approx(12 * VECTORS * 1.5e-3)
    assert any("how many outputs" in sentence for sentence in bound.assumptions)
    assert not any("how many outputs" in sentence for sentence in known.assumptions)


def test_power_is_energy_times_frame_rate_plus_leakage(table, small_library, quantity):
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
def test_a_frame_rate_is_a_finite_number_above_zero(rate, table, small_library):
    with pytest.raises(UserError, match="frame_rate_hz is a finite number above 0"):
        estimate(table({}), small_library(), frame_rate_hz=rate)


def test_a_frame_rate_beyond_the_full_rate_is_refused(table, small_library):
    with pytest.raises(UserError, match=r"^frame_rate_hz = 130000 is beyond the placement's full rate of 125000 Hz"):
        estimate(table({}), small_library(), frame_rate_hz=130000.0)
    assert estimate(table({}), small_library(), frame_rate_hz=125000.0).totals["frame_rate_hz"] == 125000.0


def test_a_full_isaac_tile_at_full_rate_draws_what_table_1_prints(table):
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


def test_a_converter_that_the_library_lacks_is_refused(table):
    with pytest.raises(UserError, match=r"'forms-32nm' has no 8-bit converter \(adc_bits\); it lists 4 bits"):
        estimate(table({}), "forms-32nm")
    with pytest.raises(UserError, match=r"has no 5-bit driver \(dac_bits\); it lists 1, 2, 3, 4, 6, 8 bits"):
        estimate(table({"dac_bits": 5}), "isaac-32nm")
