"""`ohmweave report` on runs, sweeps and several runs: what it writes, and how it refuses."""

import json

import pytest

from experiments.cli import command
from experiments.reporting import report, runs_table
from experiments.sweeping.columns import RESULTS
from experiments.sweeping.table import write


@pytest.fixture
def sweep(tmp_path, sweep_tables):
    folder = tmp_path / "small-sweep"
    folder.mkdir()
    table = sweep_tables.costs(8)
    write(folder, table, table[["point"]])
    return folder


def test_a_sweep_and_what_a_paper_takes_of_it(sweep, tmp_path, capsys):
    out = tmp_path / "elsewhere"
    assert command(["report", str(sweep), "--out", str(out), "--latex", "--bibtex"]) == 0
    said = capsys.readouterr().out
    assert "8 points: 8 done" in said
    assert "front.tex, sensitivity.tex, sources.bib" in said
    assert "<h1>small-sweep</h1>" in (out / "report.html").read_text()
    assert not (sweep / "report.html").exists()


def test_a_run_and_what_a_paper_takes_of_it(finished, tmp_path, capsys):
    flags = ["--out", str(tmp_path), "--figures", "svg", "--style", "double", "--latex", "--bibtex"]
    assert command(["report", str(finished[1]), *flags]) == 0
    assert "For a paper:" in capsys.readouterr().out
    written = {path.name: path.read_text() for path in (tmp_path / "paper").iterdir()}
    assert {"accuracy.svg", "accuracy.tex", "cost.tex", "components.tex", "layers.tex", "sources.bib"} <= set(written)
    assert "@inproceedings{shafiee2016isaac," in written["sources.bib"]
    assert "@article{boyd2011admm," in written["sources.bib"]
    for name, text in written.items():
        if name.endswith(".tex"):
            assert text.count("\\begin{") == text.count("\\end{") == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "'nowhere' does not exist"),
        (["SWEEP", "SWEEP/.."], "is a sweep"),
        (["SWEEP", "--figures", "gif"], "picture format"),
        (["SWEEP/results.csv"], "is a file"),
        (["EMPTY"], "result.json is missing"),
    ],
)
def test_mistakes(sweep, tmp_path, capsys, args, said):
    (tmp_path / "empty").mkdir()
    places = {"SWEEP": str(sweep), "EMPTY": str(tmp_path / "empty")}
    filled = [part.replace("SWEEP", places["SWEEP"]).replace("EMPTY", places["EMPTY"]) for part in args]
    assert command(["report", *filled]) == 2
    assert said in capsys.readouterr().err
    assert not (sweep / "report.html").exists()


def record(accuracy, area, preset):
    """A result with what the comparison reads."""
    pair = {"baseline": 2 * area, "placed": area}
    return {
        "schema": report.SCHEMA,
        "config": {"seed": 0, "device": {"preset": preset, "levels": None}, "report": {"title": f"{area}"}},
        "accuracy": {"dense": 0.98, "pruned": 0.97, "quantised": 0.96, "crossbar_mean": accuracy, "crossbar_std": 0.0}
        | {"crossbar_low": accuracy, "crossbar_high": accuracy, "crossbar_seeds": [accuracy], "samples": 100},
        "weights": {"total": 10, "kept": 5},
        "compression": 2.0,
        "macs_on_arrays": 1.0,
        "frame_rate_hz": 1000.0,
        "arrays": {"baseline": 4, "placed": 2},
        **dict.fromkeys(("area_mm2", "power_mw", "energy_nj", "latency_us", "power_peak_mw"), pair),
    }


def test_several_runs_are_points(tmp_path, monkeypatch, capsys):
    made = {"a": record(0.9, 1.0, "hfox"), "b": record(0.95, 2.0, "ideal")}
    for name, content in made.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(content))
    monkeypatch.setattr(report, "schema", dict)  # these records hold only what a comparison reads
    assert command(["report", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "out")]) == 0
    assert "2 runs: a, b" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h1>a · b</h1>" in page
    for text in ("device.preset", "hfox", "ideal", "All runs", "Keys that differ"):
        assert text in page
    table = runs_table.table(made)
    assert list(table.columns) == ["point", "run", "device.preset", *RESULTS]
    assert table["area_mm2"].tolist() == [1.0, 2.0]
    assert table["area_mm2_baseline"].tolist() == [2.0, 4.0]
    assert table["status"].tolist() == ["done", "done"]


def test_runs_of_one_name_are_told_apart(tmp_path):
    assert runs_table.names([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]
    assert runs_table.names([tmp_path / "x", tmp_path / "y"]) == ["x", "y"]


def test_values_that_only_some_runs_have():
    some, others = record(0.9, 1.0, "hfox"), record(0.9, 1.0, "hfox")
    others["config"] = others["config"] | {"device": {"preset": "hfox", "levels": 8}, "simulate": {"read_noise": True}}
    table = runs_table.table({"p": some, "q": others})
    assert table["device.levels"].tolist() == ["not set", "8"]
    assert table["simulate.read_noise"].tolist() == ["not set", "true"]
    assert "report.title" not in table
