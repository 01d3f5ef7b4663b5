"""The recipes for clusters: what a user copies is run here with a stand-in for SLURM and without Kubernetes."""

import importlib.util
import socket
import sys
from pathlib import Path

import pandas as pd
import pytest

from experiments.commands import sweep_command
from experiments.config import Config

FOLDER = Path(__file__).parents[3] / "examples" / "cluster"
SECTION = '[sweep]\n"crossbar.adc_bits" = [5, 8]'

SBATCH = """#!/bin/sh
setsid sh "$1" >> "$PWD/jobs.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$@" >> "$PWD/cancelled"
for job in "$@"; do kill -9 -- "-$job"; done
exit 0
"""


@pytest.fixture
def slurm():
    pytest.importorskip("dask_jobqueue")
    spec = importlib.util.spec_from_file_location("slurm", FOLDER / "slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def documents():
    yaml = pytest.importorskip("yaml")
    found = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


def pod(document):
    return document["spec"]["template"]["spec"]


def container(document):
    (found,) = pod(document)["containers"]
    return found


@pytest.mark.filterwarnings("ignore")
def test_the_job_of_the_slurm_recipe(slurm):
    flags = slurm.arguments().parse_args(
        ["--partition", "long", "--account", "me", "--memory", "3GB", "--prologue", "module load gcc"]
    )
    with slurm.cluster(flags) as cluster:
        lines = cluster.job_script().splitlines()
    for line in ("#SBATCH -p long", "#SBATCH -A me", "#SBATCH --cpus-per-task=1", "#SBATCH -t 04:00:00"):
        assert line in lines
    assert [line for line in lines if line.startswith("#SBATCH --mem=")]
    assert lines.index(slurm.ONE_THREAD) < lines.index("module load gcc")
    assert "--nthreads 1 " in lines[-1]  # what the sweep asks of every worker
    assert sys.executable in lines[-1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")
def test_the_slurm_recipe_runs_a_sweep(slurm, processes, sweep_file, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{Path('/usr/bin')}:{Path('/bin')}")
    command = [sys.executable, FOLDER / "slurm.py", sweep_file(SECTION), "--jobs", "2", "--interface", "lo"]
    script = processes.start([*command, "--out", tmp_path / "out", "--no-report"])
    processes.wait_for(lambda: script.poll() is not None)
    said = processes.log.read_text()
    assert script.returncode == 0, said
    assert "2 points: 2 done" in said
    assert pd.read_parquet(tmp_path / "out" / "points.parquet")["worker"].nunique() >= 1
    assert len((tmp_path / "cancelled").read_text().split()) == 2  # no job is left behind


def test_the_kubernetes_recipe_fits_together(documents):
    assert [kind for kind, _ in documents] == ["PersistentVolumeClaim", "Service", "Deployment", "Deployment", "Job"]
    service = documents["Service", "ohmweave-scheduler"]
    scheduler, worker = (documents["Deployment", f"ohmweave-{name}"] for name in ("scheduler", "worker"))
    job = documents["Job", "ohmweave-sweep"]
    for document in (scheduler, worker):
        assert document["spec"]["selector"]["matchLabels"] == document["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == scheduler["spec"]["selector"]["matchLabels"]
    (port,) = service["spec"]["ports"]
    assert container(scheduler)["command"][:4] == ["dask", "scheduler", "--port", str(port["targetPort"])]
    address = f"tcp://{service['metadata']['name']}:{port['port']}"
    assert address in container(worker)["command"]
    assert [address in text for text in pod(job)["initContainers"][0]["command"]] == [False, False, True]
    flags = sweep_command._flags(Config(), "sweep.toml", container(job)["command"][3:])
    assert flags.scheduler == address
    # The store, which is in the sweep's folder, lies on the volume, where workers have it under the same path.
    for document in (worker, job):
        (mount,) = (each for each in container(document)["volumeMounts"] if each["name"] == "data")
        assert flags.out is not None
        assert flags.out.is_relative_to(mount["mountPath"])
        (volume,) = (each for each in pod(document)["volumes"] if each["name"] == "data")
        assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in documents
    threads = {each["name"]: each["value"] for each in container(worker)["env"]}
    assert set(threads.values()) == {"1"}
    assert "--nthreads 1" in " ".join(container(worker)["command"])
    images = {container(document)["image"] for document in (scheduler, worker, job)}
    assert len(images | {pod(job)["initContainers"][0]["image"]}) == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_the_kubernetes_recipe_run_a_sweep(documents, processes, sweep_file, tmp_path):
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = {"dask": "dask", "ohmweave": "experiments.cli"}

    def start(found):
        """A container's command on this machine: its service is here, its mounted folders are this test's."""
        texts = [text.replace("ohmweave-scheduler:8786", f"127.0.0.1:{port}") for text in found["command"]]
        texts = [str(port) if text == "8786" else text for text in texts]
        texts = [str(tmp_path / text.lstrip("/")) if text.startswith(("/data", "/config")) else text for text in texts]
        first = [sys.executable] if texts[0] == "python" else [sys.executable, "-m", programs[texts[0]]]
        given = {each["name"]: each["value"] for each in found.get("env", [])}
        return processes.start([*first, *texts[1:]], **given)

    (tmp_path / "config").mkdir()
    sweep_file(SECTION, "config/sweep.toml")
    job = documents["Job", "ohmweave-sweep"]
    waiting = start(pod(job)["initContainers"][0])
    start(container(documents["Deployment", "ohmweave-scheduler"]))
    for _ in range(2):
        start(container(documents["Deployment", "ohmweave-worker"]))
    processes.wait_for(lambda: waiting.poll() is not None)
    assert waiting.returncode == 0, processes.log.read_text()
    sweep = start(container(job))
    processes.wait_for(lambda: sweep.poll() is not None)
    assert sweep.returncode == 0, processes.log.read_text()
    assert pd.read_csv(tmp_path / "data" / "sweep" / "results.csv")["status"].tolist() == ["done", "done"]
