"""A run that is finished is read, one that was interrupted or damaged goes on, one may start from another."""

import json
import shutil
from dataclasses import replace

import pytest

from admm import Compressed
from experiments import cli
from experiments import config as configuration
from experiments.progress import SILENT, Progress
from experiments.setup import prepare
from experiments.sweeping.keys import KeyMaker


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


def test_a_finished_run_is_read_and_not_run_again(finished, run_small):
    path, out, record = finished
    before = (out / "result.json").stat().st_mtime_ns
    assert run_small(path, out) == record
    assert (out / "result.json").stat().st_mtime_ns == before


def test_a_damaged_result_is_written_anew_from_the_kept_stages(finished, tmp_path, run_small):
    path, out, record = finished
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / "result.json").write_text("{")
    again = run_small(path, tmp_path / "out")
    assert again["accuracy"] == record["accuracy"]
    assert again["stage_seconds"]["train"] == record["stage_seconds"]["train"]


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_run_goes_on_and_ends_the_same(finished, tmp_path, run_small):
    path, _, record = finished
    for label, after in (("Training", 1), ("Compressing", 2), ("Simulating chips", 1), ("Pricing", 1)):
        with pytest.raises(KeyboardInterrupt):
            run_small(path, tmp_path / "out", _Stop(label, after))
        assert not (tmp_path / "out" / "result.json").exists()
    resumed = run_small(path, tmp_path / "out")
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
