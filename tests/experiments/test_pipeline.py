"""The whole path on a small run: what it leaves behind, that it resumes, and that one field moves every model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import torch

import mapping
from admm import Compressed
from experiments import cli, data, models, pipeline, training
from experiments import config as configuration
from experiments.config import Config, Crossbar, DeviceSection
from experiments.progress import SILENT, Progress
from experiments.reporting import report
from experiments.run_folder import RunFolder
from experiments.setup import array_spec, prepare
from experiments.stages import device_seed
from experiments.sweeping.keys import KeyMaker
from hwmodels import estimate
from hwmodels.errors import UserError

SMALL = (Path(__file__).parent / "small.toml").read_text()


def _run(path, out, progress=SILENT):
    loaded = configuration.load(path)
    return pipeline.run(loaded, out, name="small", command="ohmweave run small", progress=progress)


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


def test_where_accuracy_is_lost_starts_at_the_trained_network_and_ends_at_the_chips(finished):
    _, out, record = finished
    steps, alone = record["waterfall"]["steps"], record["waterfall"]["alone"]
    assert [row["key"] for row in steps] == ["dense", "pruned", "quantised", "map", "program", "stuck", "adc"]
    assert [row["key"] for row in alone] == ["program", "stuck", "adc"]
    # Bit for bit, as the last step is the simulated chips themselves.
    for row, key in ((steps[0], "dense"), (steps[1], "pruned"), (steps[2], "quantised"), (steps[-1], "crossbar_mean")):
        assert row["accuracy"] == record["accuracy"][key]
    assert steps[-1]["accuracies"] == record["accuracy"]["crossbar_seeds"]
    assert sum(row["change"] for row in steps[1:]) == pytest.approx(steps[-1]["accuracy"] - steps[0]["accuracy"])
    # The first error in turn is the first error alone; the chips are the same ones.
    assert steps[4] == alone[0]
    lost = pd.read_csv(out / "tables" / "waterfall.csv")
    assert lost["accuracy"].tolist() == pytest.approx([row["accuracy"] for row in [*steps, *alone]])


def test_the_waterfall_can_be_smaller_or_left_out(finished, tmp_path):
    path, out, record = finished
    loaded = configuration.load(path)
    for changes in ({"waterfall_samples": 50, "waterfall_chips": 1}, {"waterfall": False}):
        folder = tmp_path / str(len(changes))
        shutil.copytree(out, folder)
        config = replace(loaded, report=replace(loaded.report, **changes))
        # As if the keys had been there from the start: the stages before are kept.
        identity = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(identity | {"digest": config.digest()}))
        for name in ("result.json", "state/waterfall.json"):
            (folder / name).unlink()
        made = pipeline.run(config, folder, name="small", command="", progress=SILENT)
        assert made["accuracy"] == record["accuracy"]
        if not config.report.waterfall:
            assert "waterfall" not in made
            continue
        jsonschema.Draft202012Validator(report.schema()).validate(made)
        own = made["waterfall"]
        assert (own["samples"], own["chips"]) == (50, 1)
        # The pruned network itself is not kept, so it is not tested again on fewer samples.
        assert [row["key"] for row in own["steps"]] == ["dense", "quantised", "map", "program", "stuck", "adc"]
        for row in own["steps"]:
            assert (row["accuracy"] * 50) == pytest.approx(round(row["accuracy"] * 50))
        setup = prepare(configuration.load(path), "small", SILENT).with_test_samples(50)
        placed = mapping.Placement.load(folder / "placement")
        network = Compressed.load(folder / "state" / "compressed", _network()).model
        chip = mapping.CrossbarNetwork(placed, seed=device_seed(3, 0), network=network)
        assert own["steps"][-1]["accuracy"] == training.accuracy(chip, setup.batches("test"))


@pytest.mark.parametrize(("crossbar", "keys"), [("adc_bits = 4", ["map", "adc"]), ('adc_bits = "ideal"', ["map"])])
def test_a_chip_without_errors_of_its_own_loses_to_its_converters_alone(tmp_path, crossbar, keys):
    """Nothing is drawn, so every chip is the same one, and one of a case is enough."""
    path = tmp_path / "c.toml"
    text = SMALL.replace('preset = "yuan2019"\nstuck_at_lrs = 0.002', 'preset = "ideal"')
    path.write_text(text.replace("cols = 32\n", f"cols = 32\n{crossbar}\n"))
    config = configuration.load(path)
    setup = prepare(config, "c", SILENT)
    placement = mapping.place(setup.network, setup.array, setup.calibration)
    with RunFolder(tmp_path / "out", config, "c", {}) as folder:
        chips = pipeline._simulate(setup, folder, placement, SILENT)
        before = {"dense": 0.5, "pruned": 0.5, "quantised": 0.5}
        lost = pipeline._waterfall(setup, folder, placement, setup.network, before, chips, SILENT)
    assert [row["key"] for row in lost["steps"][3:]] == keys
    assert lost["steps"][-1]["accuracies"] == [chip["accuracy"] for chip in chips]
    assert lost["steps"][-1]["accuracy"] == chips[0]["accuracy"] == chips[1]["accuracy"]


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


def test_the_saved_placement_gives_the_same_chips(finished):
    path, out, record = finished
    loaded = configuration.load(path)
    network = models.build("digits-conv", in_channels=1, classes=10, image_size=8)
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


def test_a_finished_run_is_read_and_not_run_again(finished):
    path, out, record = finished
    before = (out / "result.json").stat().st_mtime_ns
    assert _run(path, out) == record
    assert (out / "result.json").stat().st_mtime_ns == before


def test_a_damaged_result_is_written_anew_from_the_kept_stages(finished, tmp_path):
    path, out, record = finished
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / "result.json").write_text("{")
    again = _run(path, tmp_path / "out")
    assert again["accuracy"] == record["accuracy"]
    assert again["stage_seconds"]["train"] == record["stage_seconds"]["train"]


def test_weights_left_free_are_tested_as_they_stand_on_arrays(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(SMALL.replace("[compress]", "[compress]\nquantise = false"))
    record = _run(path, tmp_path / "out")
    # The stage "quantised" is the accuracy of the weights on arrays, tested here again from the saved placement.
    network = models.build("digits-conv", in_channels=1, classes=10, image_size=8)
    placed = mapping.Placement.load(tmp_path / "out" / "placement").reference(network)
    test = data.load("digits", seed=3, train_limit=300, test_limit=120).batches("test", 256)
    assert record["accuracy"]["quantised"] == training.accuracy(placed, test)
    assert any("snapped to them" in warning for warning in record["warnings"])
    assert record["levels_violations"] == 0


def test_a_whole_run_on_offset_codes_with_dummy_columns(tmp_path):
    """Compression, placement, chips and price all follow [crossbar] encoding."""
    path = tmp_path / "c.toml"
    own = "encoding = 'offset'\noffset_correction = 'analog'\n"
    text = SMALL.replace("cols = 32\n", "cols = 32\n" + own).replace("epochs = 2", "epochs = 1")
    path.write_text(text.replace("train_limit = 300", "train_limit = 100"))
    record = _run(path, tmp_path / "out")
    assert record["levels_violations"] == 0
    placed = mapping.Placement.load(tmp_path / "out" / "placement")
    assert all(layer.grid.table().size == 16 for layer in placed.layers.values())
    assert set(placed.tiles["sign"]) == {1, -1}  # weights, and a dummy column an array
    assert placed.tiles.groupby("array")["sign"].sum().eq(0).all()
    assert any("dummy column of real cells" in sentence for sentence in record["assumptions"])


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


def test_purification_keeps_the_training_accuracy_and_every_constraint(tmp_path):
    path = tmp_path / "c.toml"
    keys = 'purify = 0.02\nsolver = "slr"\nsteps = 2\ndistill = 0.3\nprecision = "bfloat16"'
    path.write_text(SMALL.replace("[compress]", f"[compress]\n{keys}"))
    record = _run(path, tmp_path / "out")
    placed = mapping.Placement.load(tmp_path / "out" / "placement")
    compressed = Compressed.load(tmp_path / "out" / "state" / "compressed", _network())
    history = compressed.history
    assert history["stage"].tolist().count("retrain") == 2
    assert sum(int(mask.sum()) for mask in compressed.masks.values()) < history["kept"].iloc[-1]
    assert record["levels_violations"] == record["constraint_violations"] == 0
    test = data.load("digits", seed=3, train_limit=300, test_limit=120).batches("test", 256)
    assert record["accuracy"]["quantised"] == training.accuracy(placed.reference(_network()), test)


def _network():
    return models.build("digits-conv", in_channels=1, classes=10, image_size=8)


class _Stop(Progress):
    """A progress that is interrupted in the middle of a chosen task."""

    def __init__(self, label, after):
        super().__init__(quiet=True)
        self.label, self.after = label, after

    def task(self, label, total=None, *, done=0):
        return _Interrupted(super().task(label, total, done=done), self.after if label == self.label else None)


class _Interrupted:
    def __init__(self, task, after):
        self._task, self._after = task, after

    def __enter__(self):
        inner = self._task.__enter__()
        if self._after is None:
            return inner
        plain, left = inner.advance, self._after

        def advance(*args, **kwargs):
            nonlocal left
            plain(*args, **kwargs)
            left -= 1
            if left <= 0:
                raise KeyboardInterrupt

        inner.advance = advance
        return inner

    def __exit__(self, *error):
        return self._task.__exit__(*error)


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_run_goes_on_and_ends_the_same(finished, tmp_path):
    path, _, record = finished
    for label, after in (("Training", 1), ("Compressing", 2), ("Simulating chips", 1), ("Pricing", 1)):
        with pytest.raises(KeyboardInterrupt):
            _run(path, tmp_path / "out", _Stop(label, after))
        assert not (tmp_path / "out" / "result.json").exists()
    resumed = _run(path, tmp_path / "out")
    changing = ("created", "seconds", "stage_seconds")
    assert {k: v for k, v in resumed.items() if k not in changing} == {
        k: v for k, v in record.items() if k not in changing
    }


@pytest.mark.usefixtures("one_thread")
def test_a_compression_goes_on_from_another_run(finished, tmp_path):
    """Its weights are where ADMM starts, and what it pruned stays pruned; another start is another run."""
    path, first, record = finished
    flags = ["--compress.start", str(first), "--compress.prune.fc1.column", "32", "--compress.admm_epochs", "1"]
    out = tmp_path / "out"
    assert cli.command(["run", str(path), "--out", str(out), "--quiet", *flags]) == 0
    network = prepare(configuration.load(path), "small", SILENT).network
    earlier, later = (Compressed.load(folder / "state" / "compressed", network) for folder in (first, out))
    for name, mask in later.masks.items():
        assert not (mask & ~earlier.masks[name]).any()
    assert int(later.masks["fc1"].any(dim=0).sum()) == 32
    assert later.masks["conv1"].equal(earlier.masks["conv1"])
    made = json.loads((out / "result.json").read_text())
    assert made["accuracy"]["dense"] == record["accuracy"]["dense"]
    loaded = configuration.load(path)
    loaded = replace(loaded, compress=replace(loaded.compress, start=str(first)))
    assert KeyMaker().keys(loaded).compressed != KeyMaker().keys(configuration.load(path)).compressed
    assert KeyMaker().keys(loaded).dense == KeyMaker().keys(configuration.load(path)).dense


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


def test_chips_are_read_under_the_configured_conditions(tmp_path):
    """The simulated accuracies are those of chips read that long after programming."""
    text = SMALL.replace('preset = "yuan2019"', 'preset = "pcm-like"') + "\n"
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('[data]\nname = "digts"', "digits"),
        ('[data]\nname = "mnist"', "data-dir"),
        ('[network]\nname = "digit-conv"', "digits-conv"),
        ('[device]\npreset = "yuan"', "yuan2019"),
        ('[hardware]\nlibrary = "isac"', "isaac-32nm"),
        ("[compress.prune.fc9]\ncolumn = 3", "fc9"),
        ("[compress.prune.fc1]\nfilter = 65", "65"),
        ("[compress.prune.fc1]\nkernel = 3", "Kernel prunes inside the kernels"),
        ("[compress.prune.fc1]\nn_m = '5:4'", r"^\[compress\.prune\.fc1\] .*5 of 4 is impossible"),
        ("[compress.prune.fc1]\nbalanced = 129", r"^\[compress\.prune\.fc1\] live = 129 .* rows = 128"),
        ("[compress.prune.fc1]\nn_m_axis = 'rows'", r"compress\.prune\.fc1\.n_m_axis .* give n_m as well"),
        ("[compress.prune.fc1]\npolarised_refresh = 2", "give polarised as well"),
        ("[compress]\nstart = 'nowhere'", "compress.start = 'nowhere': there is no .*finished run"),
        ("[compress.budget.'fc9*']\nkeep = 0.5", r"fc9\*"),
        ("[compress.budget.'fc*']\nkind = 'filter'\nkeep = 1", "leaves less than floor = 1"),
        ("[crossbar]\nslices = 9", "weight levels"),
        ("[crossbar]\nadc_bits = 12", "12-bit ADC .*ideal"),
        ("[crossbar]\ndac_bits = 5", "5-bit DAC"),
        ('[hardware]\nlibrary = "forms-32nm"', "8-bit ADC"),
        ("[hardware]\nnode_nm = 3.0", r"hardware\.node_nm = 3: .*from 7 to 180 nm"),
        ("[hardware.replicas]\nfc9 = 2", r"hardware\.replicas: there is no layer 'fc9'\. Did you mean 'fc"),
        ("[hardware]\nframe_rate_hz = 1e9", r"hardware\.frame_rate_hz = 1e\+09 is beyond the placement's full rate"),
        ('[crossbar]\nadc_bits = 3\n[hardware]\nadc_model = "andrulis"', r"hardware\.adc_model = 'andrulis'.*4 to 16"),
        ('[hardware]\nlibrary = "forms-32nm"\nadc_model = "isaac"', r"hardware\.adc_model = 'isaac'.*to scale"),
        ("seed = 4294967296", "less than 4294967296"),
        ("[crossbar]\ndac_bits = 9", "dac_bits"),
        ("[crossbar.adc_errors]\nnoise_lsb = -1.0", "noise_lsb"),
        ("[crossbar.adc_errors]\ninl_lsb = 300.0", "adc_errors: its INL .*not monotone"),
        ("[crossbar.dac_errors]\nofset_lsb = 1.0", "Did you mean 'offset_lsb'"),
        ("[crossbar]\nadc_range = 'percentile'", "needs adc_percentile"),
        ("[crossbar]\nadc_percentile = 0.0", "adc_percentile"),
        ('[device]\npreset = "neurram"\n[simulate]\nt_s = 1e9', "known up to 172800 s"),
        ("[device]\nstuck_at_lrs = 0.6\nstuck_at_hrs = 0.6", "stuck_at"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tmp_path, change, message):
    path = tmp_path / "c.toml"
    path.write_text(change)
    with pytest.raises(UserError, match=message):
        _run(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
