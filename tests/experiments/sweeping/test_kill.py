"""kill -9 of a real sweep, with real workers, whenever: the table is that of an undisturbed one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SECTION = '[sweep]\n"crossbar.rows, crossbar.cols" = [32, 64]\n"device.levels" = [4, 16]\n"crossbar.adc_bits" = [5, 8]'


def start(path, out, *flags):
    command = [sys.executable, "-m", "experiments.cli", "sweep", str(path), "--out", str(out), *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(path, out, *flags):
    process = start(path, out, *flags)
    said, errors = process.communicate(timeout=1000)
    assert process.returncode == 0, errors
    return said


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def lines(out):
    journal = out / "points.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def same(a, b):
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in ("results.parquet", "results.csv"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_killed_sweep_goes_on_and_gives_the_same_table(sweep_file, tmp_path):
    path, whole, broken = sweep_file(SECTION), tmp_path / "whole", tmp_path / "broken"
    assert "8 points: 8 done" in finish(path, whole, "--workers", "2")
    # In training, in compression or placement, and between points.
    for reached in (
        lambda: (broken / "store" / "dense").exists(),
        lambda: any((broken / "store").glob("compressed/*/*")),
        lambda: lines(broken) >= 2,
        lambda: lines(broken) >= 5,
    ):
        process = start(path, broken, "--workers", "2")
        wait_for(reached, process)
        process.kill()
        process.communicate()
    before = lines(broken)
    assert 5 <= before < 8
    finish(path, broken, "--workers", "1")
    assert same(whole, broken)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_killed_worker_is_replaced_and_two_sweeps_share_a_store(sweep_file, tmp_path):
    path, store = sweep_file(SECTION), tmp_path / "store"
    first = start(path, tmp_path / "a", "--store", str(store), "--workers", "1")
    second = start(path, tmp_path / "b", "--store", str(store), "--workers", "1")
    wait_for(lambda: lines(tmp_path / "a") >= 1, first)
    os.kill(_worker_of(first.pid), signal.SIGKILL)
    errors = [process.communicate(timeout=1000)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert same(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(store)
    finish(path, tmp_path / "c", "--store", str(store), "--workers", "2")
    assert same(tmp_path / "a", tmp_path / "c")


def _worker_of(pid):
    """A spawned worker of a process: the child that is not multiprocessing's resource tracker."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("no worker")
