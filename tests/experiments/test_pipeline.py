"""The whole path on a small run: what it leaves behind, and that its numbers tell one story."""

import json

import jsonschema
import numpy as np
import pandas as pd
import pytest

import mapping
from admm import Compressed
from experiments import config as configuration
from experiments import data, training
from experiments.progress import SILENT
from experiments.reporting import report
from experiments.setup import prepare
from experiments.stages import device_seed
from hwmodels import estimate


def test_the_record_holds_to_its_schema(finished):
    _, out, record = finished
    jsonschema.Draft202012Validator(report.schema()).validate(record)
    assert json.loads((out / "result.json").read_text()) == record


def test_every_promised_file_is_there(finished):
    _, out, _ = finished
    for name in ("report.html", "summary.md", "result.json", "config.toml", "placement/placement.json"):
        assert (out / name).stat().st_size > 0, name
    for table in ("cost_placed", "cost_baseline", "uncertainty", "layers", "tiles", "history", "seeds", "training"):
        assert (out / "tables" / f"{table}.csv").exists(), table
        assert (out / "tables" / f"{table}.parquet").exists(), table
    assert list((out / "figures").glob("*.svg"))


def test_the_record_states_both_chips_at_one_rate_and_each_at_its_own(finished):
    _, out, record = finished
    for chip in ("baseline", "placed"):
        assert record["frame_rate_hz"] <= record["full_rate_hz"][chip] * (1 + 1e-9)
        own = record["energy_nj"][chip] * record["full_rate_hz"][chip] * 1e-6 + record["leakage_mw"][chip]
        assert record["power_full_rate_mw"][chip] == pytest.approx(own)
        assert record["power_peak_mw"][chip] > 0
    # neither this device nor this library says what writing takes
    assert "programming_energy_nj" not in record
    assert "Power is energy per inference × frame rate + leakage" in (out / "summary.md").read_text()


def test_the_record_says_how_sure_its_totals_are(finished):
    _, out, record = finished
    uncertain = pd.read_parquet(out / "tables" / "uncertainty.parquet")
    for total in ("area_mm2", "power_mw"):
        low, high = record["interval"][total]
        mine = uncertain[uncertain["total"] == total]
        assert (mine["total_value"] == record[total]["placed"]).all()
        assert mine["swing"].is_monotonic_decreasing
        # no number alone moves the total beyond what all of them do at once
        ends = mine[["total_low", "total_high"]].to_numpy()
        assert low * (1 - 1e-12) <= ends.min() < ends.max() <= high * (1 + 1e-12)
    page = (out / "report.html").read_text()
    assert "How sure" in page
    assert "With all these numbers at their ends at once: area" in page


def test_no_constraint_is_violated(finished):
    _, _, record = finished
    assert record["levels_violations"] == 0
    assert record["constraint_violations"] == 0


def test_weights_arrays_and_tables_tell_one_story(finished):
    _, out, record = finished
    layers = pd.read_parquet(out / "tables" / "layers.parquet")
    tiles = pd.read_parquet(out / "tables" / "tiles.parquet")
    assert record["weights"]["kept"] == layers["kept"].sum() == tiles["live_cells"].sum()
    assert record["arrays"]["placed"] == tiles["array"].nunique() == layers["arrays_placed"].sum()
    assert record["arrays"]["baseline"] == layers["arrays_baseline"].sum()
    assert record["compression"] == pytest.approx(layers["weights"].sum() / layers["kept"].sum())
    placed = pd.read_parquet(out / "tables" / "cost_placed.parquet")
    for key in ("area_mm2", "energy_nj", "power_mw"):
        assert placed[key].sum() == pytest.approx(record[key]["placed"])
    assert record["reduction"]["area"] == pytest.approx(
        1 - record["area_mm2"]["placed"] / record["area_mm2"]["baseline"]
    )


def test_the_baseline_is_four_arrays_a_tile(finished):
    """9 bits on 4-bit cells: two slices, twice for the signs (Yuan et al. 2019); 40 dense 32×32 tiles."""
    assert finished[2]["arrays"]["baseline"] == 160


def test_power_is_energy_times_the_common_rate(finished):
    record = finished[2]
    for which in ("baseline", "placed"):
        watts = record["energy_nj"][which] * 1e-9 * record["frame_rate_hz"]
        assert record["power_mw"][which] == pytest.approx(watts * 1e3)


def test_the_saved_placement_gives_the_same_chips(finished, small_network):
    path, out, record = finished
    loaded = configuration.load(path)
    network = small_network()
    compressed = Compressed.load(out / "state" / "compressed", network)
    placement = mapping.Placement.load(out / "placement")
    chip = mapping.CrossbarNetwork(placement, seed=device_seed(loaded.seed, 1), network=compressed.model)
    test = data.load("digits", seed=loaded.seed, train_limit=300, test_limit=120).batches("test", 256)
    assert training.accuracy(chip, test) == record["accuracy"]["crossbar_seeds"][1]
    cost = estimate(placement.tiles, loaded.hardware.library, frame_rate_hz=record["frame_rate_hz"])
    assert cost.totals["area_mm2"] == pytest.approx(record["area_mm2"]["placed"])
    assert cost.totals["power_mw"] == pytest.approx(record["power_mw"]["placed"])


def test_the_interval_is_students_over_the_chips(finished):
    accuracy = finished[2]["accuracy"]
    a, b = accuracy["crossbar_seeds"]
    assert accuracy["crossbar_mean"] == pytest.approx((a + b) / 2)
    assert accuracy["crossbar_std"] == pytest.approx(abs(a - b) / np.sqrt(2))
    # t(0.975, 1 degree of freedom) = 12.706
    half = 12.706 * accuracy["crossbar_std"] / np.sqrt(2)
    assert accuracy["crossbar_low"] == pytest.approx(max((a + b) / 2 - half, 0), abs=1e-4)


def test_the_history_counts_the_tiles_of_what_compression_left(finished):
    """Before placing frees what no layer reads any more."""
    path, out, _ = finished
    setup = prepare(configuration.load(path), "small", SILENT)
    compressed = Compressed.load(out / "state" / "compressed", setup.network)
    placement = mapping.place(compressed, setup.array, setup.calibration, free_unused=False)
    history = pd.read_csv(out / "tables" / "history.csv")
    assert history["tiles"].iloc[-1] == len(placement.tiles[["layer", "tile"]].drop_duplicates())
    tiles = pd.read_csv(out / "tables" / "tiles.csv")
    assert len(tiles[["layer", "tile"]].drop_duplicates()) <= history["tiles"].iloc[-1]
