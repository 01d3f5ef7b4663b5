"""Whole sweeps of a tiny network: what they share, survive, and write."""

import errno
import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

import experiments
from admm import checkpoint
from experiments import config as configuration
from experiments import pipeline, stages
from experiments.config import Crossbar, Report
from experiments.progress import SILENT, Progress
from experiments.sweeping import sweep as sweeping
from experiments.sweeping import work
from experiments.sweeping.columns import BOOKKEEPING, RESULTS
from experiments.sweeping.executors import InProcess
from experiments.sweeping.store import Store
from hwmodels.errors import UserError


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """As in a sweep's workers."""


GRID = '[sweep]\n"crossbar.rows, crossbar.cols" = [32, 64]\n"crossbar.adc_bits" = [5, 8]'


def swept(path, out, progress=SILENT, **options):
    with InProcess() as executor:
        return sweeping.run(sweeping.load(path), out, executor=executor, progress=progress, **options)


def stored(path):
    """Entries of a store by stage."""
    counts = {}
    for entry in Store(path).entries():
        counts[entry.stage] = counts.get(entry.stage, 0) + 1
    return counts


def same_bytes(a, b):
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in ("results.parquet", "results.csv"))


@pytest.fixture
def finished(sweep_file, tmp_path, shared_store):
    path = sweep_file(GRID)
    return path, tmp_path / "out", swept(path, tmp_path / "out", store=shared_store)


def test_the_table_is_tidy_and_documented(finished):
    _, out, results = finished
    keys = ["crossbar.rows", "crossbar.cols", "crossbar.adc_bits"]
    assert list(results.columns) == ["point", *keys, *RESULTS]
    assert results[keys].to_numpy().tolist() == [[32, 32, 5], [32, 32, 8], [64, 64, 5], [64, 64, 8]]
    assert (results["status"] == "done").all()
    assert (results["chips"] == 2).all()
    pd.testing.assert_frame_equal(experiments.load_results(out), results)
    book = pd.read_parquet(out / "points.parquet")
    assert list(book.columns) == ["point", *BOOKKEEPING]
    assert pd.read_csv(out / "results.csv")["area_mm2"].tolist() == pytest.approx(results["area_mm2"].tolist())


def test_the_columns_are_explained_in_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text()
    for name, (unit, _) in {**RESULTS, **BOOKKEEPING}.items():
        assert f"`{name}`" in page, name
        assert unit in page, name


def test_work_is_shared(sweep_file, tmp_path):
    swept(sweep_file(GRID), tmp_path / "out")
    assert stored(tmp_path / "out" / "store") == {
        "dense": 1,
        "compressed": 1,
        "placement": 2,
        "baseline": 2,
        "chips": 4,
        "cost": 4,
    }


def test_a_point_is_what_a_run_gives(finished, tmp_path):
    path, _, results = finished
    values = configuration.read(path)
    del values["sweep"]
    config = configuration.validated(values, "tiny")
    config = replace(config, crossbar=Crossbar(rows=32, cols=32, adc_bits=5), report=Report(figures=()))
    record = pipeline.run(config, tmp_path / "run", name="tiny", command="", progress=SILENT)
    row = results.iloc[0]
    for stage in ("dense", "pruned", "quantised", "crossbar_mean", "crossbar_low", "crossbar_high", "crossbar_std"):
        assert row[f"accuracy_{stage}"] == record["accuracy"][stage], stage
    for total in ("area_mm2", "power_mw", "energy_nj", "latency_us", "arrays"):
        assert row[total] == record[total]["placed"]
        assert row[f"{total}_baseline"] == record[total]["baseline"]
    assert row["compression"] == record["compression"]
    assert row["frame_rate_hz"] == record["frame_rate_hz"]


def test_a_sweep_over_cost_only_trains_and_simulates_nothing_again(sweep_file, tmp_path, shared_store, monkeypatch):
    swept(sweep_file(GRID), tmp_path / "first", store=shared_store)
    for name in ("train_dense", "compress", "place", "place_baseline", "simulate_chips"):
        monkeypatch.setattr(stages, name, None)
    path = sweep_file(
        '[sweep]\n"hardware.node_nm" = [16.0, 32.0]\n"crossbar.cols_per_adc" = [8, 32]\n"crossbar.rows" = [64]'
    )
    results = swept(path, tmp_path / "second", store=shared_store)
    assert (results["status"] == "done").all()
    assert results["area_mm2"].nunique() == 4
    assert (results["accuracy_crossbar_mean"] == results["accuracy_crossbar_mean"].iloc[0]).all()


def test_prices_in_bulk_are_those_of_the_points_by_themselves(sweep_file, tmp_path, shared_store, monkeypatch):
    swept(sweep_file(GRID), tmp_path / "first", store=shared_store)
    section = '[sweep]\n"crossbar.t_read_s" = [5e-8, 1.3e-7]\n"crossbar.cols_per_adc" = [7, 64]'
    section += '\n"hardware.frame_rate_hz" = [50.0, 1e9]'
    path = sweep_file(section, "bulk.toml")
    bulk = swept(path, tmp_path / "bulk", store=shared_store)
    assert (bulk["status"] == "failed").sum() == 4  # the rate that no chip reaches
    assert bulk["message"].str.contains("frame_rate_hz").sum() == 4

    def alone(self, config):
        """As the cost stage of the point by itself does it, placed and set up for it."""
        job = replace(self.job, task="point", config=config, keys=self.maker.keys(config))
        return work.Work(job)._price(tmp_path)

    monkeypatch.setattr(work.Work, "costs", alone)
    swept(path, tmp_path / "single", store=shared_store)
    assert same_bytes(tmp_path / "bulk", tmp_path / "single")


def test_a_finished_sweep_is_read_and_a_second_one_on_its_store_computes_nothing(
    finished, tmp_path, shared_store, monkeypatch
):
    path, out, _ = finished
    monkeypatch.setattr(stages, "simulate_chips", None)
    swept(path, out, store=shared_store)
    swept(path, tmp_path / "again", store=shared_store)
    assert same_bytes(out, tmp_path / "again")
    assert pd.read_parquet(tmp_path / "again" / "points.parquet")["cached"].all()


class _Stop(Progress):
    """Interrupts a sweep after some points."""

    def __init__(self, after):
        super().__init__(quiet=True)
        self.after = after

    def task(self, label, total=None, *, done=0):
        if label != "Sweeping":
            return super().task(label, total, done=done)
        return _stopping(super().task(label, total, done=done), self)


def _stopping(inner, stop):
    @contextmanager
    def opened():
        with inner as task:
            plain = task.advance

            def advance(steps=1, detail=""):
                plain(steps, detail)
                stop.after -= steps
                if stop.after <= 0:
                    raise KeyboardInterrupt

            task.advance = advance
            yield task

    return opened()


def test_an_interrupted_sweep_goes_on_and_ends_the_same(finished, tmp_path):
    path, out, _ = finished
    for after in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            swept(path, tmp_path / "again", progress=_Stop(after))
        assert len(experiments.load_results(tmp_path / "again")) == after
        with (tmp_path / "again" / "points.jsonl").open("ab") as journal:
            journal.write(b'{"id": "torn by a kill')
    swept(path, tmp_path / "again")
    assert same_bytes(out, tmp_path / "again")
    assert len(pd.read_parquet(tmp_path / "again" / "points.parquet")) == 4


def test_a_point_that_fails_is_recorded_and_tried_again_on_demand(sweep_file, tmp_path, shared_store, monkeypatch):
    path = sweep_file('[sweep]\n"crossbar.adc_bits" = [5, 6, 8]')

    whole = stages.simulate_chips

    def simulate(setup, *args):
        if setup.config.crossbar.adc_bits == 6:  # no other test has stored chips of it
            raise RuntimeError("a capacitor caught fire")
        return whole(setup, *args)

    monkeypatch.setattr(stages, "simulate_chips", simulate)
    results = swept(path, tmp_path / "out", store=shared_store)
    assert results["status"].tolist() == ["done", "failed", "done"]
    assert results["message"].tolist() == ["", "RuntimeError: a capacitor caught fire", ""]
    assert pd.isna(results["area_mm2"].iloc[1])
    monkeypatch.undo()
    torch.set_num_threads(1)
    assert swept(path, tmp_path / "out", store=shared_store)["status"].tolist() == ["done", "failed", "done"]
    retried = swept(path, tmp_path / "out", store=shared_store, retry_failed=True)
    assert retried["status"].tolist() == ["done", "done", "done"]


def test_contradictory_keys_are_failed_points_and_refused_where_no_point_is_left(sweep_file, tmp_path, shared_store):
    path = sweep_file('[sweep]\n"crossbar.slices" = [1, 9]\n"device.levels" = [16]')
    results = swept(path, tmp_path / "out", store=shared_store)
    assert results["status"].tolist() == ["done", "failed"]
    assert "weight levels" in results["message"].iloc[1]
    with pytest.raises(UserError, match=r"No point of this sweep can start.*weight levels"):
        swept(sweep_file('[sweep]\n"crossbar.slices" = [8, 9]', "all.toml"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_levels_that_a_device_lacks_are_said_with_those_it_has(sweep_file, tmp_path, shared_store):
    path = sweep_file('[sweep]\n"device.preset" = ["yuan2019", "stt-mram"]\n"device.levels" = [16]')
    noted = StringIO()
    with Progress(stream=noted) as progress:
        results = swept(path, tmp_path / "out", progress=progress, store=shared_store)
    assert results["status"].tolist() == ["done", "failed"]
    said = "device.levels = 16, but 'stt-mram' has just the 2 levels that its file lists (255.1, 714.3 µS)."
    assert results["message"].iloc[1].startswith(said)
    assert f"Point 1 (device.preset = stt-mram, device.levels = 16) failed: {said}" in noted.getvalue()


def test_a_mistake_of_one_point_is_not_that_of_those_that_share_its_stages(sweep_file, tmp_path):
    path = sweep_file(
        '[sweep]\n"hardware.replicas.fc9" = [2]\n"crossbar.adc_bits" = [5]\n"hardware.frame_rate_hz" = [1e9, 50.0]'
    )
    assert (swept(path, tmp_path / "none")["status"] == "failed").all()
    path = sweep_file(
        '[sweep]\n"hardware.frame_rate_hz" = [1e9, 50.0]\n"compress.prune.fc2.filter" = [99, 5]', "b.toml"
    )
    results = swept(path, tmp_path / "out")
    assert results["status"].tolist() == ["failed", "failed", "failed", "done"]


def test_failures_of_a_shared_stage_are_those_of_all_its_points(sweep_file, tmp_path):
    path = sweep_file('[sweep]\n"train.lr" = [5e-3, 1e30]\n"crossbar.adc_bits" = [5, 8]')
    results = swept(path, tmp_path / "out")
    assert results["status"].tolist() == ["done", "done", "failed", "failed"]
    assert all("diverged" in text for text in results["message"][2:])


def test_a_full_disk_stops_the_sweep_and_keeps_what_is_finished(finished, tmp_path, monkeypatch):
    path, out, _ = finished
    plain, left = Store.write, [10]

    def write(self, *args):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, *args)

    monkeypatch.setattr(Store, "write", write)
    with pytest.raises(UserError, match=r"No space left on device.*kept"):
        swept(path, tmp_path / "full")
    monkeypatch.undo()
    torch.set_num_threads(1)
    assert 0 < len(experiments.load_results(tmp_path / "full")) < 4
    swept(path, tmp_path / "full")
    assert same_bytes(out, tmp_path / "full")


def test_a_full_disk_behind_a_sentence_stops_the_sweep_as_well(sweep_file, tmp_path, monkeypatch):
    """A checkpoint that cannot be written is no mistake of its point: the next command goes on, nothing has failed."""

    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "atomic", SimpleNamespace(write=write))
    with pytest.raises(UserError, match=r"^Stopped: Cannot write the checkpoint .*left on device\. What is finished"):
        swept(sweep_file(GRID), tmp_path / "full")
    assert experiments.load_results(tmp_path / "full").empty


def test_damaged_files_of_the_store_are_made_again(finished, tmp_path):
    path, out, _ = finished
    swept(path, tmp_path / "whole")
    for name in ("weights.safetensors", "placement.safetensors", "compressed.safetensors"):
        for file in (tmp_path / "whole" / "store").rglob(name):
            file.write_bytes(file.read_bytes()[:-10])
    for stage in ("cost", "chips"):
        shutil.rmtree(tmp_path / "whole" / "store" / stage)
    work._PLACED.clear()  # what this process still remembers
    swept(path, tmp_path / "again", store=tmp_path / "whole" / "store")
    assert same_bytes(out, tmp_path / "again")


def test_chips_are_added_until_the_interval_is_narrow_enough(sweep_file, tmp_path, shared_store):
    path = sweep_file('[sweep]\n"crossbar.adc_bits" = [5, 8]\ninterval = 0.04\nmax_seeds = 8')
    results = swept(path, tmp_path / "out", store=shared_store)
    width = results["accuracy_crossbar_high"] - results["accuracy_crossbar_low"]
    assert ((width <= 0.04) | (results["chips"] == 8)).all()
    assert results["chips"].max() > 2


def test_points_beyond_a_constraint_are_not_simulated(sweep_file, tmp_path, shared_store):
    first = swept(sweep_file(GRID), tmp_path / "first", store=shared_store)
    limit = float(first["area_mm2"].median())
    path = sweep_file(f'{GRID}\nconstraints = ["area_mm2 <= {limit}"]')
    results = swept(path, tmp_path / "out")
    beyond = first["area_mm2"] > limit
    assert (results["status"] == "infeasible").tolist() == beyond.tolist()
    assert results["accuracy_crossbar_mean"].isna().tolist() == beyond.tolist()
    assert stored(tmp_path / "out" / "store")["chips"] == int((~beyond).sum())
    assert results["message"][beyond].str.contains("breaks area_mm2 <=").all()


def test_another_sweep_does_not_go_into_the_same_folder(finished, sweep_file, shared_store):
    _, out, _ = finished
    with pytest.raises(UserError, match=r"another sweep.*--store"):
        swept(sweep_file('[sweep]\n"crossbar.adc_bits" = [5]', "other.toml"), out, store=shared_store)


def test_an_unwritable_folder_is_refused(sweep_file, tmp_path):
    (tmp_path / "file").write_text("")
    path = sweep_file(GRID)
    with pytest.raises(UserError, match="is a file"):
        swept(path, tmp_path / "file")
    with pytest.raises(UserError, match="Cannot write"):
        swept(path, tmp_path / "file" / "below")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="other files"):
        swept(path, tmp_path / "other")


def test_an_interrupted_or_newer_table_is_named_and_written_again(finished, shared_store):
    path, out, _ = finished
    whole = (out / "results.parquet").read_bytes()
    (out / "results.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"results\.parquet is damaged \(Parquet.*\); run the sweep again"):
        experiments.load_results(out)
    swept(path, out, store=shared_store)
    assert (out / "results.parquet").read_bytes() == whole
    (out / "results.parquet").write_bytes(_newer(whole))
    with pytest.raises(UserError, match="newer than this program"):
        experiments.load_results(out)
    (out / "results.parquet").unlink()
    with pytest.raises(UserError, match=r"no results\.parquet"):
        experiments.load_results(out)


def _newer(content):
    import io

    import pyarrow.parquet as pq

    from experiments.sweeping import table

    found = pq.read_table(io.BytesIO(content))
    buffer = io.BytesIO()
    pq.write_table(found.replace_schema_metadata({table.SCHEMA_KEY.encode(): b"2"}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("", "has no .sweep."),
        ("[sweep]", "names no key to sweep"),
        ('[sweep]\n"crossbar.row" = [1]', "Did you mean 'crossbar.rows'"),
        ('[sweep]\n"crossbar.rows" = [16, -2, 0]', r"(?s)rows = -2.*rows = 0"),
        ('[sweep]\n"crossbar.adc_bits" = [5]\nconstraints = ["area <= 3"]', "area"),
    ],
)
def test_mistakes_in_the_file_are_found_before_anything_is_written(sweep_file, tmp_path, section, message):
    with pytest.raises(UserError, match=message):
        swept(sweep_file(section), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_of_a_sweeps_file_is_told_where_it_belongs(sweep_file):
    with pytest.raises(UserError, match="ohmweave sweep"):
        configuration.load(sweep_file(GRID))


def test_the_journal_holds_no_place(finished):
    _, out, _ = finished
    for line in (out / "points.jsonl").read_text().splitlines():
        assert str(out) not in line
        assert json.loads(line)["row"]["status"] == "done"
