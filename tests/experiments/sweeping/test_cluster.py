"""The cluster's engine on one machine: a scheduler, several worker processes, one of them killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.progress import SILENT
from experiments.sweeping import sweep as sweeping
from experiments.sweeping.executors import Cluster, LocalProcesses
from hwmodels.errors import UserError

ROOT = Path(__file__).parents[3]
SECTION = '[sweep]\n"crossbar.rows, crossbar.cols" = [32, 64]\n"device.levels" = [4, 16]\n"crossbar.adc_bits" = [5, 8]'


def test_without_the_package_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"ohmweave\[cluster\]"):
        Cluster("tcp://127.0.0.1:1")


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"],
        env=environment, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert scheduler.stderr is not None
    address = next(found[0] for line in scheduler.stderr if (found := re.search(r"tcp://127\.0\.0\.1:\d+", line)))
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"],
            env=environment, stderr=subprocess.DEVNULL, cwd=tmp_path,
        )
        for _ in range(3)
    ]  # fmt: skip
    yield address, workers
    for process in (*workers, scheduler):
        process.terminate()
        process.wait(30)
    scheduler.stderr.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_table_though_a_worker_is_killed(cluster, sweep_file, tmp_path):
    address, workers = cluster
    path = sweep_file(SECTION)
    killed: list[int] = []

    with Cluster(address) as executor:
        deadline = time.monotonic() + 60
        while executor.workers < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert executor.workers == 3
        plain, count = executor.submit, [0]

        def submit(function, argument):
            count[0] += 1
            future = plain(function, argument)
            if count[0] == 8:
                children = Path(f"/proc/{workers[0].pid}/task/{workers[0].pid}/children").read_text().split()
                for pid in (workers[0].pid, *map(int, children)):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            return future

        executor.submit = submit
        sweeping.run(sweeping.load(path), tmp_path / "cluster", executor=executor, progress=SILENT)
    assert killed
    with LocalProcesses(2) as executor:
        sweeping.run(sweeping.load(path), tmp_path / "local", executor=executor, progress=SILENT)
    for name in ("results.parquet", "results.csv"):
        assert (tmp_path / "cluster" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_nobody_at_an_address_is_said():
    pytest.importorskip("distributed")
    with pytest.raises(UserError, match="No dask scheduler answers"):
        Cluster("tcp://127.0.0.1:9", wait_s=1.0)
