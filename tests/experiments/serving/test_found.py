"""What a folder holds, in every state, from real folders' files."""

import fcntl
import json
import os

import pytest

from experiments.config import Config
from experiments.run_folder import RunFolder
from experiments.serving import locks
from experiments.serving.found import Folder, ago, best_text
from experiments.serving.watching import Watch
from experiments.sweeping.journal import SweepFolder
from experiments.sweeping.store import Store
from hwmodels.errors import UserError


def record(number, accuracy=None, status="done", message=""):
    row = {"status": status, "message": message}
    if accuracy is not None:
        row |= {"accuracy_crossbar_mean": accuracy, "area_mm2": 2.0}
    return {"id": f"point {number}", "point": number, "row": row}


def sweep_at(path):
    return SweepFolder(path, {"name": path.name, "digest": "0"})


def entry(root, path):
    return next(item for item in Folder(root).entries() if item.path == path)


def test_a_sweep_under_way_is_running_and_grows(tmp_path):
    folder = Folder(tmp_path)
    with sweep_at(tmp_path / "a") as sweep:
        sweep.plan(4, ["accuracy_crossbar_mean", "area_mm2"])
        sweep.append([record(0, 0.5), record(1, status="failed", message="it burnt")])
        (first,) = folder.entries()
        assert (first.state, first.done, first.total, first.kind) == ("running", 2, 4, "sweep")
        assert first.failures == ((1, "it burnt"),)
        assert first.said == "best 50.00 %, 2 mm² at point 0"
        sweep.append([record(2, 0.75), record(1, 0.6)])
        (second,) = folder.entries()
        assert (second.done, second.failures) == (3, ())
        assert "75.00 % " not in first.said
        assert "75.00 %" in second.said
    assert entry(tmp_path, "a").state == "stopped"


@pytest.mark.parametrize(("counts", "state"), [({"done": 3, "failed": 1}, "finished"), ({"failed": 4}, "failed")])
def test_a_sweep_that_has_ended(tmp_path, counts, state):
    with sweep_at(tmp_path / "a") as sweep:
        sweep.plan(4, ["area_mm2"], counts)
    found = entry(tmp_path, "a")
    assert (found.state, found.done, found.total) == (state, 4, 4)


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(tmp_path):
    path = tmp_path / "points.jsonl"
    line, following = (json.dumps(record(n, 0.5 + n / 10)).encode() + b"\n" for n in range(2))
    watch = Watch(path)
    watch.read()  # not there yet
    path.write_bytes(line + following[:20])
    watch.read()
    assert watch.counts()["done"] == 1
    path.write_bytes(line + following)
    watch.read()
    assert watch.counts()["done"] == 2
    path.write_bytes(b'torn{"id"\n' + line)  # shorter: another journal
    watch.read()
    assert watch.counts() == {"done": 1, "infeasible": 0, "failed": 0}
    assert watch.best == {"point": 0, "column": "accuracy_crossbar_mean", "value": 0.5, "area_mm2": 2.0}


def test_the_best_of_a_cost_is_the_lowest(tmp_path):
    path = tmp_path / "points.jsonl"
    rows = [
        {"id": str(n), "point": n, "row": {"status": "done", "area_mm2": value}} for n, value in enumerate((3, 1, 2))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    watch = Watch(path, "area_mm2")
    watch.read()
    assert best_text(watch.best) == "best area_mm2 1 at point 1"


def test_a_run_and_a_store(tmp_path):
    with RunFolder(tmp_path / "run", Config(), "digits") as run:
        run.write("state/dense/done.json", {})
        found = entry(tmp_path, "run")
        assert (found.kind, found.state, found.done, found.said) == ("run", "running", 1, "dense done")
    assert entry(tmp_path, "run").state == "stopped"
    run.write("result.json", {"accuracy": {"crossbar_mean": 0.9}, "area_mm2": {"placed": 1.5}})
    finished = entry(tmp_path, "run")
    assert (finished.state, finished.said) == ("finished", "90.00 % on crossbars, 1.5 mm²")
    assert finished.files == ("result.json", "config.toml")
    Store(tmp_path / "store").ensure("dense", "ab" * 10, lambda folder: {})
    assert entry(tmp_path, "store").said == "1 dense"


def test_a_damaged_folder_is_told_and_the_others_are_shown(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{}")
    (tmp_path / "broken" / "result.json").write_text("{half")
    with sweep_at(tmp_path / "whole"):
        pass
    states = {item.path: item.state for item in Folder(tmp_path).entries()}
    assert states == {"broken": "damaged", "whole": "stopped"}


def test_what_cannot_be_served_is_said(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no folder .*absent"):
        Folder(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; give the folder"):
        Folder(tmp_path / "file")

    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)  # as root one may read anything
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        Folder(tmp_path)


def test_looking_for_a_lock_takes_none(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert locks.held(path)
        fcntl.flock(file, fcntl.LOCK_UN)
        assert not locks.held(path)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not locks.held(tmp_path / "absent")
    monkeypatch.setattr(locks, "LOCKS", tmp_path / "no such list")
    assert locks.held(path)  # written a moment ago
    os.utime(path, (1.0, 1.0))
    assert not locks.held(path)


def test_how_long_ago(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 200_000.0)
    assert [ago(then) for then in (200_000.0, 199_999.0, 199_000.0, 190_000.0, 1.0)] == [
        "now", "1 second ago", "16 minutes ago", "2 hours ago", "2 days ago",
    ]  # fmt: skip
