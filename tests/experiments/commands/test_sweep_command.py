"""The command lines `ohmweave sweep` and `ohmweave store`."""

import pandas as pd
import pytest

from experiments import config as configuration
from experiments.cli import command
from experiments.commands.sweep_command import answer
from experiments.sweeping import sweep as sweeping
from experiments.sweeping.points import chosen, configured
from experiments.sweeping.store import Store


def test_the_packaged_sweeps_have_their_points():
    for name, count in (("sweep-digits", 12), ("sweep-digits-200", 200)):
        sweep = sweeping.load(configuration.find(name))
        points = chosen(sweep.settings, sweep.axes)
        assert len(points) == count
        configured(sweep.base, points[-1])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["sweep"], "configuration comes first"),
        (["sweep", "digits"], "has no [sweep]"),
        (["sweep", "sweep-digit"], "Did you mean 'sweep-digits'"),
        (["sweep", "sweep-digits", "--crossbar.adc_bits", "5"], "'crossbar.adc_bits' is swept"),
        (["sweep", "sweep-digits", "--workers", "-1"], "--workers -1"),
        (["sweep", "sweep-digits", "--workers", "1", "--scheduler", "tcp://x:1"], "one of the two"),
        (["run", "sweep-digits"], "ohmweave sweep"),
        (["store", "missing"], "no store"),
        (["store", ".", "--keep_gb", "1"], "give --trim as well"),
    ],
)
def test_mistakes_exit_with_2_and_leave_nothing(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(args) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_resume_refuses_a_folder_with_points(tmp_path, capsys):
    (tmp_path / "points.jsonl").write_text("")
    assert command(["sweep", "sweep-digits", "--out", str(tmp_path), "--no-resume"]) == 2
    assert "holds points already" in capsys.readouterr().err


def test_the_store_is_shown_and_trimmed(tmp_path, capsys):
    store = Store(tmp_path / "store")

    def make(folder):
        folder.mkdir(parents=True)
        (folder / "data").write_bytes(b"x" * 3_000_000)
        return {}

    store.ensure("cost", "a" * 20, make)
    make(store.folder("dense", "b" * 20))
    assert command(["store", str(tmp_path)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cost", "1", "0", "3.0", "MB", "0.0", "days", "ago"] in shown
    assert ["dense", "0", "1", "3.0", "MB", "0.0", "days", "ago"] in shown
    assert command(["store", str(tmp_path), "--trim", "--keep_gb", "0.001"]) == 0
    assert "Removed 2 entries, 6.0 MB." in capsys.readouterr().out
    assert store.entries() == []


def test_the_answer_names_the_most_accurate_point():
    table = pd.DataFrame(
        {
            "point": [0, 1, 2],
            "crossbar.rows": [16, 32, 64],
            "status": ["done", "done", "failed"],
            "accuracy_crossbar_mean": [0.9, 0.95, None],
            "accuracy_crossbar_low": [0.8, 0.9, None],
            "accuracy_crossbar_high": [1.0, 1.0, None],
            "chips": [3, 3, None],
            "area_mm2": [1.0, 2.0, None],
            "power_mw": [1.0, 2.0, None],
            "energy_nj": [1.0, 2.0, None],
        }
    )
    said = answer(table)
    assert "2 done, 0 infeasible, 1 failed" in said
    assert "95.00 %" in said
    assert said.endswith("crossbar.rows = 32")
    assert answer(table.iloc[2:]) == "1 points: 0 done, 0 infeasible, 1 failed"
    unknown = table.assign(accuracy_crossbar_mean=[None, 0.95, None])
    assert answer(unknown).endswith("crossbar.rows = 32")
    assert answer(unknown.iloc[:1]) == "1 points: 1 done, 0 infeasible, 0 failed"
