"""What an estimate can be asked beyond a library: converter models and bits, copies, writing, and many at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import Library, Matrix, UserError, dense_tiles, estimate, prepare
from hwmodels.costs.adc_cost import andrulis

MATRICES = [Matrix(name="conv", rows=200, cols=150, reads_per_inference=100), Matrix(name="fc", rows=90, cols=10)]


def table(**options):
    return dense_tiles(MATRICES, g_mean_s=5e-6, **options)


def adc(result, column="energy_nj"):
    return result.table.loc[result.table["component"] == "adc", column].sum()


# ------------------------------------------------------------------- dense tiles


def test_dense_tiles_cover_the_matrices():
    tiles = table(slices=2)
    area = (tiles["rows"] * tiles["cols"]).groupby(tiles["layer"], sort=False).sum()
    assert area.to_dict() == {"conv": 200 * 150 * 4, "fc": 90 * 10 * 4}
    assert tiles["array"].is_unique
    assert len(tiles) == 4 * (2 * 2 + 1)
    assert tiles["max_live_per_col"].tolist() == tiles["rows"].tolist()


def test_slices_may_stand_side_by_side():
    tiles = table(slices=3, slices_share_array=True, signs=1)
    # 42 weights of three cells on 128 columns: 150 columns take 4 tiles, 200 rows 2; one tile for the last layer
    assert tiles["array"].nunique() == 4 * 2 + 1
    assert (tiles["rows"] * tiles["cols"]).sum() == 3 * (200 * 150 + 90 * 10)
    assert tiles.loc[tiles["slice"] == 2, "col0"].tolist()[:2] == [84, 84]
    result = estimate(tiles, "isaac-32nm")  # pieces lie side by side, or the table would be refused
    columns = result.table[result.table["component"] == "sample_hold"]["count"].sum()
    assert columns == 3 * (150 * 2 + 10)
    with pytest.raises(UserError, match="array_cols = 2 is less than the 3 slices"):
        table(slices=3, slices_share_array=True, array_cols=2)


def test_dense_tiles_refuse_empty_sizes():
    with pytest.raises(UserError, match="fc: rows is at least 1, not 0"):
        dense_tiles([Matrix(name="fc", rows=0, cols=3)])
    with pytest.raises(UserError, match="slices"):
        table(slices=0)


# ------------------------------------------------------------------- timing, against an obvious twin


def slow_timing(tiles, t_read, rate, replicas):
    """Latency per layer and the longest busy time of an array, written as one reads the rule."""
    latency, busy = {}, {}
    for (array, layer), visit in tiles.groupby(["array", "layer"], sort=False):
        turns = 0.0
        for _, tile in visit.groupby("tile"):
            cycle = [
                max(t_read, min(p.cols_per_adc, p.array_cols) / rate if p.adc_bits else 0.0) for p in tile.itertuples()
            ]
            vectors = -(-tile["reads_per_inference"] // replicas.get(layer, 1))
            turns += max(vectors * tile["input_cycles"] * cycle)
        latency[layer] = max(latency.get(layer, 0.0), turns)
        busy[array] = busy.get(array, 0.0) + turns
    return latency, max(busy.values())


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_kernel_times_as_the_rule_says(data):
    tiles = table(adc_bits=data.draw(st.sampled_from([0, 8])), cols_per_adc=data.draw(st.sampled_from([1, 32, 128])))
    # several tiles on one array: tiles of both layers are stacked two by two
    pairs = data.draw(st.permutations(range(len(tiles))))
    tiles["array"] = [pairs[i] // 2 for i in range(len(tiles))]
    tiles["array_rows"], tiles["row0"] = 256, [128 * (pairs[i] % 2) for i in range(len(tiles))]
    copies = data.draw(st.integers(1, 7))
    replicas = {"conv": copies, "fc": copies}
    result = estimate(tiles, "isaac-32nm", replicas=replicas)
    latency, slowest = slow_timing(tiles, 100e-9, 1.28e9, replicas)
    assert result.layers["latency_us"].tolist() == pytest.approx([latency[name] * 1e6 for name in ("conv", "fc")])
    assert result.totals["full_rate_hz"] == pytest.approx(1 / slowest)


# ------------------------------------------------------------------- converters


def test_converter_models_differ_and_are_named():
    by_table, by_law, by_rule = (estimate(table(), "isaac-32nm", adc_model=m) for m in (None, "andrulis", "isaac"))
    conversions = 100 * 150 * 8 * 2 * 2 + 10 * 8 * 2
    assert adc(by_table) == pytest.approx(conversions * 1.5625e-3)
    assert adc(by_law) == pytest.approx(conversions * andrulis(8, 1.28e9, 32).energy_j * 1e9)
    assert adc(by_rule) == pytest.approx(adc(by_table))  # the rule starts from the same 8 bits
    assert not any("Converters are priced" in s for s in by_table.assumptions)
    assert any("model 'andrulis'" in s and "arXiv:2404.06553" in s for s in by_law.assumptions)
    cited = [row for row in by_law.sources if row["component"].startswith("adc 8")]
    assert [row["quantity"] for row in cited] == ["energy"]
    assert "Andrulis" in cited[0]["source"]


def test_the_rule_reaches_where_the_table_ends_and_says_so():
    with pytest.raises(UserError, match="has no 3-bit converter"):
        estimate(table(), "isaac-32nm", adc_bits=3)
    result = estimate(table(), "isaac-32nm", adc_bits=3, adc_model="isaac")
    assert any("extrapolated to 3 bits" in sentence for sentence in result.assumptions)
    assert any("taken to have 3 bits" in sentence for sentence in result.assumptions)
    with pytest.raises(UserError, match="holds for bits from 4 to 16, not 3"):
        estimate(table(), "isaac-32nm", adc_bits=3, adc_model="andrulis")
    with pytest.raises(UserError, match="scale"):
        estimate(table(), "forms-32nm", adc_bits=4, adc_model="isaac")


def test_a_library_may_choose_the_law_itself(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nbase = "isaac-32nm"\nadc_model = "andrulis"\n', encoding="utf-8")
    ours, asked = estimate(table(), Library.load(path)), estimate(table(), "isaac-32nm", adc_model="andrulis")
    assert adc(ours) == adc(asked)
    # a law needs a node
    text = '[adc]\nrate = { value = 1.0, unit = "GS/s", source = "s" }\n'
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    with pytest.raises(UserError, match="needs a node"):
        estimate(table(), Library.load(path))


def test_columns_that_are_subtracted_first_have_no_converter():
    """The negative half of a pair gives its current to the positive one: half the conversions, the same cells."""
    tiles = table()
    tiles["converted_cols"] = tiles["cols"].where(tiles["sign"] > 0, 0)
    both, one = estimate(table(), "isaac-32nm"), estimate(tiles, "isaac-32nm")
    counts = [result.table.groupby("component")["count"].sum() for result in (one, both)]
    assert 2 * counts[0]["adc"] == counts[1]["adc"]
    assert 2 * counts[0]["sample_hold"] == counts[1]["sample_hold"]
    assert adc(one) == pytest.approx(adc(both) / 2)
    assert one.totals["arrays"] == both.totals["arrays"]
    tiles["converted_cols"] = tiles["cols"] + 1
    with pytest.raises(UserError, match=r"'converted_cols': .* exceeds cols"):
        estimate(tiles, "isaac-32nm")


def test_required_bits_may_come_with_the_table():
    tiles = table()
    tiles["adc_bits_needed"] = 6
    result = estimate(tiles, "isaac-32nm", adc_bits="required")
    assert adc(result) == pytest.approx(adc(estimate(tiles, "isaac-32nm", adc_bits=6)))
    assert any("as the tile table states" in sentence for sentence in result.assumptions)


def test_required_bits_follow_the_fullest_column():
    tiles = table(cell_bits=2)
    tiles["max_live_per_col"] = 16
    result = estimate(tiles, "isaac-32nm", adc_bits="required")
    fixed = estimate(tiles, "isaac-32nm", adc_bits=6)  # ceil(log2(16 · 3 + 1))
    assert adc(result) == pytest.approx(adc(fixed))
    assert adc(result) < adc(estimate(tiles, "isaac-32nm"))
    assert any("ceil(log2(R (2^v − 1)(L − 1) + 1))" in sentence for sentence in result.assumptions)
    # fewer bits than the table lists: the next listed converter, and a sentence
    tiles["max_live_per_col"] = 1
    small = estimate(tiles, "isaac-32nm", adc_bits="required")
    assert adc(small) == pytest.approx(adc(estimate(tiles, "isaac-32nm", adc_bits=4)))
    assert any("2-bit converter is priced as the 4-bit one" in sentence for sentence in small.assumptions)
    tiles["cell_bits"], tiles["max_live_per_col"] = 4, tiles["rows"]
    with pytest.raises(UserError, match="no 11-bit converter"):
        estimate(tiles, "isaac-32nm", adc_bits="required")
    with pytest.raises(UserError, match="ideal analog inputs"):
        estimate(tiles.assign(dac_bits=0), "isaac-32nm", adc_bits="required")


def test_levels_need_not_be_a_power_of_two():
    tiles = table().assign(cell_bits=np.log2(12), max_live_per_col=10)
    assert adc(estimate(tiles, "isaac-32nm", adc_bits="required")) == pytest.approx(
        adc(estimate(tiles, "isaac-32nm", adc_bits=7))  # 10 · 11 = 110
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"adc_bits": -1}, "adc_bits is a whole number"),
        ({"adc_bits": 7.5}, "adc_bits is a whole number"),
        ({"cols_per_adc": 0}, "cols_per_adc is a whole number"),
        ({"adc_model": "wald"}, "Unknown converter model 'wald'"),
        ({"replicas": {"cnv": 2}}, r"no layer 'cnv'\. Did you mean 'conv'"),
        ({"replicas": {"conv": 0}}, "'conv' takes a whole number, at least 1"),
        ({"execution": "pipelind"}, r"Unknown execution 'pipelind'.*pipelined"),
    ],
)
def test_mistakes_in_what_is_asked(options, words):
    with pytest.raises(UserError, match=words):
        estimate(table(), "isaac-32nm", **options)


# ------------------------------------------------------------------- copies, rates, writing


def test_copies_share_the_vectors():
    plain, twice = (estimate(table(), "isaac-32nm", replicas=r, frame_rate_hz=1000) for r in (None, {"conv": 2}))
    assert twice.totals["arrays"] == plain.totals["arrays"] + 8
    assert twice.totals["energy_nj"] == pytest.approx(plain.totals["energy_nj"])
    assert twice.totals["full_rate_hz"] == pytest.approx(2 * plain.totals["full_rate_hz"])
    one, two = plain.layers, twice.layers
    assert two["area_mm2"].tolist() == pytest.approx([2 * one["area_mm2"][0], one["area_mm2"][1]])
    assert two["replicas"].tolist() == [2, 1]
    assert any("conv × 2" in sentence for sentence in twice.assumptions)
    three = estimate(table(), "isaac-32nm", replicas={"conv": 3}).totals["latency_us"]
    assert three == pytest.approx(34 * 0.8 + 0.8)  # 34 of 100 vectors, and the one of fc
    in_table = table()
    in_table["replicas"] = np.where(in_table["layer"] == "conv", 2, 1)
    assert estimate(in_table, "isaac-32nm", frame_rate_hz=1000).totals == twice.totals


def test_layers_on_one_array_are_copied_alike():
    tiles = table()
    last = len(tiles) - 1
    tiles["array_rows"] = 256
    tiles.loc[last, ["array", "row0"]] = [0, 128]
    with pytest.raises(UserError, match="'conv' and 'fc' share an array"):
        estimate(tiles, "isaac-32nm", replicas={"conv": 2})
    tiles["replicas"] = np.where(tiles["layer"] == "conv", 2, 1)
    with pytest.raises(UserError, match="'replicas': 1 differs from another piece of the same array"):
        estimate(tiles, "isaac-32nm")


def test_power_at_the_three_rates():
    totals = estimate(table(), "puma-32nm", frame_rate_hz=1000).totals
    for name, rate in (("power_mw", "frame_rate_hz"), ("power_full_rate_mw", "full_rate_hz")):
        assert totals[name] == pytest.approx(totals["energy_nj"] * totals[rate] * 1e-6 + totals["leakage_mw"])
    assert totals["sequential_rate_hz"] == pytest.approx(1e6 / totals["latency_us"])
    assert totals["power_mw"] < totals["power_sequential_mw"] < totals["power_full_rate_mw"]
    assert totals["leakage_mw"] > 0


def test_layer_by_layer_runs_one_inference_at_a_time():
    apart, piped = (estimate(table(), "puma-32nm", execution=how) for how in ("layer-by-layer", "pipelined"))
    assert apart.totals["frame_rate_hz"] == apart.totals["sequential_rate_hz"] == piped.totals["sequential_rate_hz"]
    assert apart.totals["power_mw"] == apart.totals["power_sequential_mw"]
    assert piped.totals["frame_rate_hz"] == piped.totals["full_rate_hz"] > apart.totals["frame_rate_hz"]
    for name in ("area_mm2", "energy_nj", "latency_us", "power_peak_mw", "leakage_mw"):
        assert apart.totals[name] == piped.totals[name]
    assert any("Execution is layer by layer" in sentence for sentence in apart.assumptions)
    between = (apart.totals["full_rate_hz"] + apart.totals["sequential_rate_hz"]) / 2
    with pytest.raises(UserError, match="beyond the placement's full rate"):
        estimate(table(), "puma-32nm", execution="layer-by-layer", frame_rate_hz=between)
    estimate(table(), "puma-32nm", frame_rate_hz=between)
    # copies shorten the slowest layer, and with it both rates
    copied = estimate(table(), "puma-32nm", execution="layer-by-layer", replicas={"conv": 4})
    assert copied.totals["frame_rate_hz"] > 3 * apart.totals["frame_rate_hz"]


def test_writing_is_reported_apart():
    totals = estimate(table(), "puma-32nm").totals
    cells = 2 * (200 * 150 + 90 * 10)
    assert totals["programming_energy_nj"] == pytest.approx(cells * 21.125 / 16384, rel=1e-5)
    assert totals["programming_time_us"] == pytest.approx(10.96875, rel=1e-5)  # 128 rows of the fullest array
    assert totals["programming_serial_us"] == pytest.approx((2 * 2 * 200 + 2 * 90) * 10.96875 / 128, rel=1e-5)
    without = estimate(table(), "isaac-32nm")
    assert not any(name.startswith("programming") for name in without.totals)
    assert "Writing the cells is not part of any number." in without.assumptions


# ------------------------------------------------------------------- many estimates of one placement


def test_a_prepared_placement_gives_what_the_plain_call_gives():
    prepared, tiles = prepare(table()), table()
    for library in Library.names():
        bits = 4 if library == "forms-32nm" else 8
        options = {"adc_bits": bits, "cols_per_adc": 32, "replicas": {"conv": 3}, "frame_rate_hz": 100.0}
        assert prepared.estimate(library, **options).totals == estimate(tiles, library, **options).totals
        plain = prepared.estimate(library, adc_bits=bits).totals
        assert plain == estimate(tiles, library, adc_bits=bits).totals


def test_fewer_columns_a_converter_cost_area_and_save_time():
    tiles = table()
    few, many = (estimate(tiles, "isaac-32nm", cols_per_adc=n) for n in (128, 16))
    assert adc(many, "count") > adc(few, "count")
    assert adc(many, "energy_nj") == adc(few, "energy_nj")
    same = tiles.assign(cols_per_adc=16)
    assert estimate(same, "isaac-32nm").totals == many.totals
