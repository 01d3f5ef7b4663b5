"""`ohmweave compress`: the chip meets its target, mistakes are told before any work, and a search keeps its floor."""

import json

import pandas as pd
import pytest

from admm import Compressed
from experiments import models
from experiments.cli import command
from experiments.targeting import floor_search
from mapping import Placement

FAST = [
    "--data.train_limit", "300", "--data.test_limit", "60", "--train.epochs", "4", "--compress.admm_epochs", "2",
    "--compress.update_every", "1", "--compress.retrain_epochs", "1", "--compress.finish_epochs", "1",
    "--simulate.seeds", "1", "--simulate.calibration_samples", "8", "--report.figures", "svg",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_placed_network_takes_no_more_arrays_than_asked(capsys, tmp_path):
    args = ["compress", "digits", *FAST, "--target-arrays", "14", "--out", "o"]
    assert command(args) == 0
    captured = capsys.readouterr()
    assert "Budget of arrays: 14 arrays" in captured.out
    assert "Set aside, since the target decides it: compress.prune.conv2.filter" in " ".join(captured.err.split())
    out = tmp_path / "o"
    record = json.loads((out / "compress.json").read_text())
    placement = Placement.load(out / "placement")
    assert placement.arrays == record["target"]["placed"] == record["cost"]["placed"]["arrays"] <= 14
    assert record["violations"] == {"levels": 0, "constraints": 0}
    assert record["target"]["met"]
    assert sum(row["cost"] for row in record["target"]["layers"]) == record["target"]["options"] <= 14
    # What is written can be read: the network, the plan's budget, the choices.
    network = models.build("digits-conv", in_channels=1, classes=10, image_size=8)
    made = Compressed.load(out / "compressed", network)
    assert made.violations() == {"levels": 0, "constraints": 0}
    assert json.loads((out / "plan.json").read_text())["budgets"][0]["limit"] == 14
    assert (pd.read_csv(out / "choices.csv")["total"] <= 14).all()


@pytest.mark.slow
def test_the_same_command_reads_a_finished_compression_and_run_goes_on_from_it(capsys, tmp_path):
    args = ["compress", "digits", *FAST, "--target-arrays", "14", "--out", "o"]
    assert command(args) == 0
    captured, out = capsys.readouterr(), tmp_path / "o"
    placement = Placement.load(out / "placement")
    assert command([*args, "-q"]) == 0
    assert capsys.readouterr().out == captured.out
    before = (out / "state" / "compressed" / "done.json").stat().st_mtime_ns
    assert command(["run", "o/config.toml", "--out", "o", "-q"]) == 0
    assert json.loads((out / "result.json").read_text())["arrays"]["placed"] == placement.arrays
    assert (out / "state" / "compressed" / "done.json").stat().st_mtime_ns == before


def test_run_takes_the_target_as_keys_and_says_so(capsys, tmp_path):
    config = tmp_path / "small.toml"
    config.write_text('[compress]\ntarget = "area"\nlimit = "0.03mm2"\n[crossbar]\nrows = 32\ncols = 32\n')
    assert command(["run", str(config), *FAST, "--out", "o", "-q"]) == 0
    record = json.loads((tmp_path / "o" / "result.json").read_text())
    assert record["area_mm2"]["placed"] <= 0.03 < record["area_mm2"]["baseline"]
    assert record["levels_violations"] == record["constraint_violations"] == 0
    assert "a chip of at most 0.03mm2 leaves room for" in (tmp_path / "o" / "report.html").read_text()
    assert (tmp_path / "o" / "tables" / "choices.csv").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["compress"], "The configuration comes first"),
        (["compress", "digits"], "What to aim at?"),
        (["compress", "digits", "--target-arrays", "14", "--target-area", "1mm2"],
         "One target at a time: --target-area and --target-arrays"),
        (["compress", "digits", "--target-arrays", "3"],
         "the smallest arrays that pruning rows and columns reaches is 8."),
        (["compress", "digits", "--target-area", "0.001mm2"], "the smallest area"),
        (["compress", "digits", "--target-power", "5mm2"], "--target-power = '5mm2' has the unit 'mm2'"),
        (["compress", "digits", "--target-arrays", "14", "--minimise", "area"], "--minimise says what"),
        (["compress", "digits", "--accuracy-floor", "0.9", "--minimise", "aera"], "area"),
        (["compress", "digits", "--accuracy-floor", "1.5"], "accuracy_floor"),
        (["run", "digits", "--compress.target", "arrays"], "needs compress.limit"),
        (["run", "digits", "--compress.target", "arrays", "--compress.limit", "14"],
         "take compress.prune.conv2.filter, compress.prune.conv2.column"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_nothing_is_written(args, message, capsys, tmp_path):
    assert command(args) == 2
    captured = capsys.readouterr()
    said = " ".join((captured.err + captured.out).split())
    assert message in said.replace("│ ", "")
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_floor_alone_finds_a_small_budget_that_keeps_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(floor_search, "TRIES", 2)
    args = ["compress", "digits", *FAST, "--accuracy-floor", "0.4", "--minimise", "arrays", "--out", "o", "-q"]
    assert command(args) == 0
    assert "Searched with" in capsys.readouterr().out
    record = json.loads((tmp_path / "o" / "compress.json").read_text())
    tries = record["tries"]
    assert record["held_out"] >= 0.4
    kept = [row for row in tries if row["held_out"] >= 0.4]
    assert record["target"]["options"] == min(row["cost"] for row in kept)
    assert tries[0]["start"] is None
    # A finished search is only read; one without its last try goes on with that.
    (tmp_path / "o" / "state" / "compressed" / "done.json").unlink()
    (tmp_path / "o" / "state" / "compressed" / floor_search.TRIED).write_text(json.dumps(tries[:-1]))
    assert command(args) == 0
    again = json.loads((tmp_path / "o" / "compress.json").read_text())
    assert again["tries"] == tries
    assert again["accuracy"] == record["accuracy"]


def test_a_floor_that_is_missed_is_no_success(capsys, tmp_path):
    args = ["compress", "digits", *FAST, "--train.epochs", "1", "--accuracy-floor", "0.99"]
    assert command([*args, "--target-arrays", "10", "--out", "o", "-q"]) == 2
    assert "The accuracy floor of 0.99 is missed" in capsys.readouterr().err
    assert (tmp_path / "o" / "compress.json").exists()
    assert command(["run", "o/config.toml", "--out", "o", "-q"]) == 0
    warnings = json.loads((tmp_path / "o" / "result.json").read_text())["warnings"]
    assert any("The accuracy floor of 0.99 is missed" in warning for warning in warnings)
