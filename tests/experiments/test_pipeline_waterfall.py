"""Where accuracy is lost on the way from the trained network to the chips of a run."""

import json
import shutil
from dataclasses import replace

import jsonschema
import pandas as pd
import pytest

import mapping
from admm import Compressed
from experiments import config as configuration
from experiments import pipeline, training
from experiments.progress import SILENT
from experiments.reporting import report
from experiments.run_folder import RunFolder
from experiments.setup import prepare
from experiments.stages import device_seed


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


def test_the_waterfall_can_be_smaller_or_left_out(finished, tmp_path, small_network):
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
        network = Compressed.load(folder / "state" / "compressed", small_network()).model
        chip = mapping.CrossbarNetwork(placed, seed=device_seed(3, 0), network=network)
        assert own["steps"][-1]["accuracy"] == training.accuracy(chip, setup.batches("test"))


@pytest.mark.parametrize(("crossbar", "keys"), [("adc_bits = 4", ["map", "adc"]), ('adc_bits = "ideal"', ["map"])])
def test_a_chip_without_errors_of_its_own_loses_to_its_converters_alone(tmp_path, crossbar, keys, small):
    """Nothing is drawn, so every chip is the same one, and one of a case is enough."""
    path = tmp_path / "c.toml"
    text = small.replace('preset = "yuan2019"\nstuck_at_lrs = 0.002', 'preset = "ideal"')
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
