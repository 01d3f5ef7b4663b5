import sys

import pytest

from experiments.sweeping.axes import parse
from hwmodels.errors import UserError

SECTION = {
    "method": "search",
    "points": 40,
    "batch": 5,
    "crossbar.rows, crossbar.cols": [16, 32, 64, 128],
    "device.mismatch": {"uniform": [0.0, 2.0]},
    "crossbar.pair_subtraction": ["digital", "analog"],
}


def row(swept):
    """A landscape with a known best: no mismatch, the largest array, subtraction in the digital domain."""
    area = 128 / swept["crossbar.rows"] + (swept["crossbar.pair_subtraction"] == "digital")
    accuracy = 1 - 0.3 * swept["device.mismatch"]
    return {"status": "done", "accuracy_crossbar_mean": accuracy, "area_mm2": area}


def search(**changes):
    from experiments.sweeping.search import Search

    found = Search(*parse({**SECTION, **changes}, "f"))
    while found.left:
        batch = found.ask()
        found.tell({point.number: row(point.swept) for point in batch})
    return found.points


def test_without_the_package_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"ohmweave\[search\]"):
        search()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_search_finds_better_points_than_its_first_ones(sampler):
    pytest.importorskip("optuna")
    points = search(sampler=sampler)
    assert [point.number for point in points] == list(range(40))
    early, late = points[:10], points[-10:]

    def best(some):
        return max(row(p.swept)["accuracy_crossbar_mean"] - 0.1 * row(p.swept)["area_mm2"] for p in some)

    assert best(late) > best(early)


@pytest.mark.filterwarnings("ignore")
def test_a_search_asked_again_gives_the_same_points():
    pytest.importorskip("optuna")
    assert search() == search()
    assert search() != search(sampling_seed=1)


@pytest.mark.filterwarnings("ignore")
def test_constraints_and_failures_steer_a_search():
    pytest.importorskip("optuna")
    from experiments.sweeping.search import Search

    found = Search(*parse({**SECTION, "constraints": ["area_mm2 <= 2.0"]}, "f"))
    while found.left:
        batch = found.ask()
        results = {}
        for point in batch:
            results[point.number] = row(point.swept)
            if point.swept["crossbar.rows"] == 16:
                results[point.number] = {"status": "failed", "message": "too small"}
        found.tell(results)
    late = [row(point.swept)["area_mm2"] <= 2.0 for point in found.points[-15:]]
    assert sum(late) >= 10


def test_an_unknown_objective_is_named():
    with pytest.raises(UserError, match="Did you mean 'area_mm2'"):
        search(objectives=["accuracy_crossbar_mean", "area_mm"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("one_thread")
def test_a_search_over_real_points_goes_on_where_it_stopped(sweep_file, tmp_path, shared_store):
    pytest.importorskip("optuna")
    from experiments.progress import SILENT
    from experiments.sweeping import sweep as sweeping
    from experiments.sweeping.executors import InProcess

    path = sweep_file(
        '[sweep]\nmethod = "search"\npoints = 6\nbatch = 3\n"crossbar.adc_bits" = [4, 5, 6, 7, 8]\n'
        '"device.mismatch" = { uniform = [0.0, 2.0] }'
    )

    def run(out):
        return sweeping.run(sweeping.load(path), out, executor=InProcess(), store=shared_store, progress=SILENT)

    whole = run(tmp_path / "a")
    assert whole["status"].tolist() == ["done"] * 6
    lines = (tmp_path / "a" / "points.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "a" / "points.jsonl").write_bytes(b"".join(lines[:4]))
    assert run(tmp_path / "a").equals(whole)
    assert run(tmp_path / "b").equals(whole)
