"""The folder of a sweep: its journal after a kill, and folders that it does not take."""

import json
from pathlib import Path

import pytest

from experiments.sweeping.journal import SweepFolder
from hwmodels.errors import UserError

NAME = {"name": "tiny", "digest": "0"}


def record(identity, point=0):
    return {"id": identity, "point": point, "row": {"status": "done"}}


def test_a_batch_is_lines_and_a_torn_end_costs_its_own_line_only(tmp_path):
    with SweepFolder(tmp_path / "a", NAME) as folder:
        folder.append(record(str(n), n) for n in range(3))
    journal = tmp_path / "a" / "points.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-7])
    with SweepFolder(tmp_path / "a", NAME) as folder:
        assert list(folder.records()) == ["0", "1"]
        folder.append([record("2", 2)])
        assert list(folder.records()) == ["0", "1", "2"]


def test_the_last_record_of_a_point_counts(tmp_path):
    with SweepFolder(tmp_path / "a", NAME) as folder:
        folder.append([record("x", 1), record("x", 2)])
        assert folder.records()["x"]["point"] == 2


def test_onlookers_are_told_how_far_it_is_to_go(tmp_path):
    with SweepFolder(tmp_path / "a", NAME) as folder:
        folder.plan(12, ("area_mm2",))
        plan = json.loads((tmp_path / "a" / "plan.json").read_text())
        assert (plan["points"], plan["finished"], plan["objectives"]) == (12, False, ["area_mm2"])
        folder.plan(12, ("area_mm2",), {"done": 12})
        assert json.loads((tmp_path / "a" / "plan.json").read_text())["finished"] is True


def test_a_folder_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    mark = tmp_path / "a" / "sweep.json"
    mark.parent.mkdir()
    mark.write_text(json.dumps({"schema": "ohmweave.sweep/2", **NAME}))
    with pytest.raises(UserError, match=r"ohmweave\.sweep/2.*this program's is 'ohmweave\.sweep/1'"):
        SweepFolder(tmp_path / "a", NAME)
    assert [path.name for path in mark.parent.iterdir()] == ["sweep.json"]


def test_a_folder_in_use_is_refused(tmp_path):
    with SweepFolder(tmp_path / "a", NAME), pytest.raises(UserError, match="Another process is sweeping"):
        SweepFolder(tmp_path / "a", NAME)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    def denied(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)  # as root one may write anywhere
    with pytest.raises(UserError, match=r"Cannot write to .*Permission denied; choose another --out"):
        SweepFolder(tmp_path / "a", NAME)
