"""An account adds up to its estimate: counts × prices and terms of time, whatever the placement and the library."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import Device, Library, estimate
from hwmodels.costs.cost_account import Reading, counts, prices, times

TOTALS = ("area_mm2", "power_mw", "energy_nj", "latency_us", "power_peak_mw")
READING = Reading(0.3, 5e-8, "a test", "a test")


@st.composite
def tables(draw, t_read_s=None):
    """Two layers of a few arrays, fragments and signs, some of them sharing an array; some energies not known."""
    rows, array, place, shared = [], 0, -1, draw(st.sampled_from([4, 16]))
    for layer in ("conv", "fc"):
        for _ in range(draw(st.integers(1, 3))):
            another = draw(st.booleans())
            array, place = (array + 1, 0) if another else (array, place + 1)
            rows += [
                {
                    "array": array,
                    "layer": layer,
                    "tile": len(rows) + part,
                    "sign": 1,
                    "slice": 0,
                    "row0": 8 * part,
                    "col0": 16 * place,
                    "rows": draw(st.integers(1, 8)),
                    "cols": draw(st.integers(1, 16)),
                    "array_rows": 16,
                    "array_cols": 96,
                    "live_cells": 1,
                    "max_live_per_col": 1,
                    "cell_bits": 4,
                    "reads_per_inference": draw(st.integers(1, 30)),
                    "input_cycles": 8,
                    "dac_bits": 1,
                    "adc_bits": 8,
                    "cols_per_adc": shared,
                    "g_sum_s": 1e-4,
                    "read_energy_j": draw(st.sampled_from([2e-12, np.nan])) if t_read_s is None else 3e-12,
                }
                for part in range(draw(st.integers(1, 2)))
            ]
    frame = pd.DataFrame(rows)
    return frame if t_read_s is None else frame.assign(t_read_s=t_read_s)


def added_up(result, reading=None, case="nominal"):
    """The totals from the tables alone."""
    amounts, paid, spent = counts(result, reading), prices(result, reading, TOTALS), times(result, TOTALS)
    columns = ["part", "quantity", "number"]
    paid = pd.concat([paid[paid["case"] == "nominal"], paid[paid["case"] == case]]).drop_duplicates(
        columns, keep="last"
    )
    price = (paid["si"] ** paid["exponent"]).groupby([paid["part"], paid["quantity"]]).prod()
    value = amounts["amount"] * amounts["copies"]
    sums = {}
    for quantity, part, number in zip(amounts["quantity"], amounts["part"], value, strict=True):
        sums[quantity] = sums.get(quantity, 0.0) + number * (1.0 if quantity == "arrays" else price[part, quantity])
    mine = spent[spent["case"] == case] if (spent["case"] == case).any() else spent[spent["case"] == "nominal"]
    busy = np.maximum(mine["read_s"], np.where(mine["rate_hz"] > 0, mine["columns"] / mine["rate_hz"].replace(0, 1), 0))
    seconds = (mine["turns"] * mine["vectors"] * mine["cycles"] * busy).groupby(mine["what"]).sum()
    rate = result.totals["frame_rate_hz"]
    return sums | {
        "area_mm2": sums["area"] * 1e6,
        "energy_nj": sums["energy"] * 1e9,
        "power_mw": (sums["energy"] * rate + sums.get("leakage", 0.0)) * 1e3,
        "power_peak_mw": sums["peak"] * 1e3,
        "latency_us": seconds["latency"] * 1e6,
        "full_rate_hz": 1 / seconds["pace"],
    }


CHOICES = [("isaac-32nm", "table"), ("isaac-32nm", "isaac"), ("isaac-32nm", "andrulis"), ("mnsim-45nm", "table")]


@settings(max_examples=15)
@given(tables(), st.sampled_from(CHOICES), st.integers(1, 3), st.sampled_from([1.0, 0.37]))
def test_the_tables_add_up_to_every_total(table, choice, copies, pace):
    library, model = choice
    full = estimate(table, library, adc_model=model, replicas={"conv": 1}).totals["full_rate_hz"]
    shared = len(set(zip(table["array"], table["layer"], strict=True))) > table["array"].nunique()
    replicas = {"conv": copies, "fc": copies if shared else 1}
    result = estimate(table, library, adc_model=model, replicas=replicas, frame_rate_hz=full * pace)
    sums = added_up(result)
    for total in (*TOTALS, "full_rate_hz", "arrays"):
        assert sums[total] == pytest.approx(result.totals[total], rel=1e-12), total
    # and component by component, as the table of the estimate has them
    own = counts(result)
    for name, rows in own[own["quantity"] == "area"].groupby("component"):
        table_rows = result.table[result.table["component"] == name]
        assert (rows["amount"] * rows["copies"]).sum() == pytest.approx(table_rows["count"].sum())


@settings(max_examples=10)
@given(tables(t_read_s=5e-8), st.sampled_from(["isaac", "andrulis", "table"]))
def test_the_ends_of_every_interval_add_up_from_numbers_at_their_ends(table, model):
    result = estimate(table, "isaac-32nm", adc_model=model, frame_rate_hz=10.0)
    for total in TOTALS:
        for end, value in zip(("low", "high"), result.interval[total], strict=True):
            assert added_up(result, READING, f"{total} {end}")[total] == pytest.approx(value, rel=1e-12), (total, end)


def test_what_moves_an_end_is_within_the_range_its_source_states():
    table = pd.DataFrame([dict(_piece())])
    result = estimate(table, "isaac-32nm")
    paid = prices(result, totals=("area_mm2",))
    cell = paid[paid["number"] == "cell area"].set_index("case")["value"]
    assert cell.to_dict() == pytest.approx({"nominal": 0.0002, "area_mm2 high": 0.000537})
    assert set(paid["case"]) <= {"nominal", "area_mm2 low", "area_mm2 high"}
    assert (paid["source"].str.len() > 0).all()


def test_cells_are_counted_in_siemens_where_their_reading_is_known():
    table = pd.DataFrame([_piece() | {"t_read_s": 5e-8}])
    result = estimate(table, "isaac-32nm")
    own = counts(result, READING)
    row = own[(own["part"] == "cell read") & (own["quantity"] == "energy")].iloc[0]
    assert row["amount"] * 0.3**2 * 5e-8 == pytest.approx(2e-12 * 10)
    assert added_up(result, READING)["energy_nj"] == pytest.approx(result.totals["energy_nj"], rel=1e-12)


def test_writing_follows_the_device_and_else_the_library():
    table, library = pd.DataFrame([_piece()]), Library.load("isaac-32nm")
    assert "writing" not in set(counts(estimate(table, library))["quantity"])
    device = next(d for d in map(Device.load, Device.names()) if d.write_verify is not None)
    result = estimate(table, library, device=device)
    own, paid, spent = counts(result), prices(result), times(result)
    written = own.loc[own["quantity"] == "writing", "amount"].sum()
    assert written == 24  # 4 rows of 6 columns
    joules = written * paid.loc[paid["quantity"] == "writing", "si"].prod()
    assert joules * 1e9 == pytest.approx(result.totals["programming_energy_nj"], rel=1e-12)
    row = spent[spent["what"] == "writing"].iloc[0]
    assert row["turns"] * row["read_s"] * 1e6 == pytest.approx(result.totals["programming_time_us"], rel=1e-12)


def _piece():
    piece = {"array": 0, "layer": "conv1", "tile": 0, "sign": 1, "slice": 0, "row0": 0, "col0": 0, "rows": 4, "cols": 6}
    piece |= {"array_rows": 8, "array_cols": 8, "live_cells": 20, "max_live_per_col": 4, "cell_bits": 4}
    piece |= {"reads_per_inference": 10, "input_cycles": 8, "dac_bits": 1, "adc_bits": 8, "cols_per_adc": 4}
    return piece | {"g_sum_s": 1e-4, "read_energy_j": 2e-12}
