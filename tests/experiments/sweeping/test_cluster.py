"""The cluster's engine on one machine: a scheduler, several worker processes, one of them killed."""

import json
import sys

import pytest

from experiments.progress import SILENT
from experiments.sweeping import sweep as sweeping
from experiments.sweeping.executors import Cluster, LocalProcesses
from hwmodels.errors import UserError

SECTION = '[sweep]\n"crossbar.rows, crossbar.cols" = [32, 64]\n"device.levels" = [4, 16]\n"crossbar.adc_bits" = [5, 8]'


def test_without_the_package_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"ohmweave\[cluster\]"):
        Cluster("tcp://127.0.0.1:1")


@pytest.fixture
def cluster(processes, tmp_path):
    """Address of a scheduler, and its workers by name."""
    pytest.importorskip("distributed")
    there = tmp_path / "scheduler.json"

    def start(program, *flags):
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--scheduler-file", there, "--no-dashboard"]
        return processes.start([*command, *flags])

    start("scheduler", "--host", "127.0.0.1", "--port", "0")
    workers = {name: start("worker", "--nthreads", "1", "--name", name) for name in ("one", "two", "three")}
    processes.wait_for(lambda: there.exists() and there.read_text().rstrip().endswith("}"))
    return json.loads(there.read_text())["address"], workers


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_table_though_a_worker_is_killed(cluster, processes, sweep_file, tmp_path):
    address, workers = cluster
    path = sweep_file(SECTION)
    killed = []

    with Cluster(address, wait_s=240.0) as executor:
        processes.wait_for(lambda: executor.workers == 3)
        plain, count, client = executor.submit, [0], executor._client

        def busy():
            """Names of the workers that have a job."""
            known = client.scheduler_info(n_workers=-1)["workers"]
            return [known[there]["name"] for there, jobs in client.processing().items() if jobs and there in known]

        def submit(function, argument):
            future = plain(function, argument)
            count[0] += 1
            if count[0] == 8:  # of 19: in the middle of it
                processes.wait_for(lambda: busy() or future.done())
                killed.append((busy() or ["one"])[0])
                processes.kill(workers[killed[0]])
            return future

        executor.submit = submit
        table = sweeping.run(sweeping.load(path), tmp_path / "cluster", executor=executor, progress=SILENT)
        assert table["status"].tolist() == ["done"] * 8, table["message"].tolist()
        assert killed
        processes.wait_for(lambda: executor.workers == 2)
    with LocalProcesses(2) as executor:
        sweeping.run(sweeping.load(path), tmp_path / "local", executor=executor, progress=SILENT)
    for name in ("results.parquet", "results.csv"):
        assert (tmp_path / "cluster" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_nobody_at_an_address_is_said():
    pytest.importorskip("distributed")
    with pytest.raises(UserError, match="No dask scheduler answers"):
        Cluster("tcp://127.0.0.1:9", wait_s=1.0)
