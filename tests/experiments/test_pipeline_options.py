"""Whole runs of other configurations: what a key asks for reaches every stage that it concerns."""

import json

import jsonschema
import pandas as pd
import pytest
import torch

import mapping
from admm import Compressed
from experiments import cli, data, pipeline, training
from experiments import config as configuration
from experiments.config import Config, Crossbar, DeviceSection
from experiments.progress import SILENT, Progress
from experiments.reporting import report
from experiments.run_folder import RunFolder
from experiments.setup import array_spec, prepare
from hwmodels import estimate


def test_weights_left_free_are_tested_as_they_stand_on_arrays(tmp_path, small, run_small, small_network):
    path = tmp_path / "c.toml"
    path.write_text(small.replace("[compress]", "[compress]\nquantise = false"))
    record = run_small(path, tmp_path / "out")
    # The stage "quantised" is the accuracy of the weights on arrays, tested here again from the saved placement.
    network = small_network()
    placed = mapping.Placement.load(tmp_path / "out" / "placement").reference(network)
    test = data.load("digits", seed=3, train_limit=300, test_limit=120).batches("test", 256)
    assert record["accuracy"]["quantised"] == training.accuracy(placed, test)
    assert any("snapped to them" in warning for warning in record["warnings"])
    assert record["levels_violations"] == 0


def test_a_whole_run_on_offset_codes_with_dummy_columns(tmp_path, small, run_small):
    """Compression, placement, chips and price all follow [crossbar] encoding."""
    path = tmp_path / "c.toml"
    own = "encoding = 'offset'\noffset_correction = 'analog'\n"
    text = small.replace("cols = 32\n", "cols = 32\n" + own).replace("epochs = 2", "epochs = 1")
    path.write_text(text.replace("train_limit = 300", "train_limit = 100"))
    record = run_small(path, tmp_path / "out")
    assert record["levels_violations"] == 0
    placed = mapping.Placement.load(tmp_path / "out" / "placement")
    assert all(layer.grid.table().size == 16 for layer in placed.layers.values())
    assert set(placed.tiles["sign"]) == {1, -1}  # weights, and a dummy column an array
    assert placed.tiles.groupby("array")["sign"].sum().eq(0).all()
    assert any("dummy column of real cells" in sentence for sentence in record["assumptions"])


def test_purification_keeps_the_training_accuracy_and_every_constraint(tmp_path, small, run_small, small_network):
    path = tmp_path / "c.toml"
    keys = 'purify = 0.02\nsolver = "slr"\nsteps = 2\ndistill = 0.3\nprecision = "bfloat16"'
    path.write_text(small.replace("[compress]", f"[compress]\n{keys}"))
    record = run_small(path, tmp_path / "out")
    placed = mapping.Placement.load(tmp_path / "out" / "placement")
    compressed = Compressed.load(tmp_path / "out" / "state" / "compressed", small_network())
    history = compressed.history
    assert history["stage"].tolist().count("retrain") == 2
    assert sum(int(mask.sum()) for mask in compressed.masks.values()) < history["kept"].iloc[-1]
    assert record["levels_violations"] == record["constraint_violations"] == 0
    test = data.load("digits", seed=3, train_limit=300, test_limit=120).batches("test", 256)
    assert record["accuracy"]["quantised"] == training.accuracy(placed.reference(small_network()), test)


@pytest.mark.usefixtures("one_thread")
def test_converters_that_err_run_end_to_end(finished, tmp_path):
    """By flags over the small run: errors drawn, ranges per converter, two's complement, and all of it reported."""
    path, _, record = finished
    out = tmp_path / "out"
    flags = ["--crossbar.adc-errors.offset-lsb", "0.5", "--crossbar.adc-errors.noise-lsb", "0.3"]
    flags += ["--crossbar.adc-range", "percentile", "--crossbar.adc-percentile", "99.5"]
    flags += ["--crossbar.adc-range-per", "converter", "--crossbar.dac-errors.gain", "0.01"]
    flags += ["--compress.admm-epochs", "0", "--compress.retrain-epochs", "0", "--train.epochs", "1"]
    assert cli.command(["run", str(path), "--out", str(out), "--quiet", *flags]) == 0
    made = json.loads((out / "result.json").read_text())
    jsonschema.Draft202012Validator(report.schema()).validate(made)
    assert made["config"]["crossbar"]["adc_errors"]["offset_lsb"] == 0.5
    table = pd.read_parquet(out / "tables" / "adc_histogram.parquet")
    placement = mapping.Placement.load(out / "placement")
    for layer in made["layers"]:
        calibration = placement.layers[layer["layer"]].calibration
        assert calibration.adc_full_scale_s == calibration.converter_full_scale_s.max()
        # At least one unit of the level grid (20 nS) a step.
        assert layer["adc_range_s"] == pytest.approx(max(calibration.adc_full_scale_s, 255 * 2e-8))
        assert layer["adc_ranges"] == len(calibration.converters)
        assert 0 < layer["adc_codes_used"] <= 1
        assert layer["adc_clipped"] > 0  # half a per cent lies beyond a percentile of 99.5
        assert table.loc[table["layer"] == layer["layer"], "samples"].sum() == calibration.histogram.counts.sum()
    page = (out / "report.html").read_text()
    assert "offset σ 0.5 LSB, noise σ 0.3 LSB a conversion; drivers with gain σ 1 %" in page
    assert (out / "figures" / "adc_range.svg").exists()
    assert [layer["adc_ranges"] for layer in record["layers"]] == [1, 1, 1, 1]


def test_one_field_moves_every_model_that_should_react():
    """The array's rows and the device's levels are each one field; levels, tiles and cost all follow it."""
    from torch import nn

    net = nn.Sequential(nn.Linear(64, 20))
    x = torch.rand(8, 64)
    seen = {}
    for name, changes in {
        "plain": {},
        "rows": {"crossbar": Crossbar(rows=32)},
        "levels": {"device": DeviceSection(levels=4)},
        "range": {"device": DeviceSection(preset="hfox")},
    }.items():
        spec = array_spec(Config(**changes))
        placement = mapping.place(net, spec, x)
        cost = estimate(placement.tiles, "isaac-32nm").totals
        seen[name] = (len(spec.weight_levels()), placement.arrays, cost["area_mm2"], cost["energy_nj"])
    assert seen["rows"][0] == seen["plain"][0]
    assert seen["rows"][1] > seen["plain"][1]
    assert seen["rows"][2] != seen["plain"][2]
    assert seen["levels"][0] < seen["plain"][0]
    assert seen["levels"][3] != seen["plain"][3]
    assert seen["range"][3] > seen["plain"][3]  # a hundred times the conductance costs more to read


class _Notes(Progress):
    """Keeps what is said."""

    def __init__(self):
        super().__init__(quiet=True)
        self.said = []

    def note(self, text):
        self.said.append(text)


def test_chips_are_read_under_the_configured_conditions(tmp_path, small):
    """The simulated accuracies are those of chips read that long after programming."""
    text = small.replace('preset = "yuan2019"', 'preset = "pcm-like"') + "\n"
    path = tmp_path / "c.toml"
    path.write_text(text.replace("[simulate]", "[simulate]\nt_s = 3.0e7\ntemperature_k = 350.0"))
    config, notes = configuration.load(path), _Notes()
    setup = prepare(config, "c", notes)
    assert notes.said == ["pcm-like has no data on temperature: simulate.temperature_k changes nothing."]
    placement = mapping.place(setup.network, setup.array, setup.calibration)
    with RunFolder(tmp_path / "out", config, "c", {}) as folder:
        chips = pipeline._simulate(setup, folder, placement, SILENT)
    for chip in chips:
        network = mapping.CrossbarNetwork(placement, seed=chip["seed"], conditions=mapping.Conditions(t_s=3.0e7))
        assert chip["accuracy"] == training.accuracy(network, setup.batches("test"))
        fresh = mapping.CrossbarNetwork(placement, seed=chip["seed"])
        x = next(iter(setup.batches("test")))[0]
        assert not torch.allclose(network(x), fresh(x), rtol=0.01)
