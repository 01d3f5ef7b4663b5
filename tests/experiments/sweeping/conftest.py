import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[3]

TINY = """\
seed = 3

[data]
train_limit = 120
test_limit = 40

[train]
epochs = 1
batch_size = 40
lr = 5e-3

[compress]
admm_epochs = 1
update_every = 1
retrain_epochs = 1
finish_epochs = 1
batch_size = 60

[compress.prune.fc1]
filter = 16
column = 32

[compress.prune.conv2]
filter = 8
column = 32

[crossbar]
rows = 64
cols = 64

[device]
stuck_at_lrs = 0.01

[simulate]
seeds = 2
calibration_samples = 16
"""
"""A network that is trained, compressed, placed and simulated within a second."""


@pytest.fixture
def sweep_file(tmp_path):
    """Write a sweep's file: the tiny configuration and the given [sweep]."""

    def write(section, name="tiny.toml", base=TINY):
        path = tmp_path / name
        path.write_text(f"{base}\n{section}")
        return path

    return write


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory):
    """One store for the tests of this folder, as its users would share one."""
    return tmp_path_factory.mktemp("shared") / "store"


@pytest.fixture
def processes(tmp_path):
    """Start programs, each a process group of its own with all that it starts; none outlives the test.

    start(command, **variables) -> Popen, what it says in `log`; kill(process): -9 of its group; wait_for(condition).
    """
    started, log = [], tmp_path / "processes.log"

    def start(command, **variables):
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
        with log.open("ab") as said:
            process = subprocess.Popen(
                [*map(str, command)], env=environment, stdout=said, stderr=said, cwd=tmp_path, start_new_session=True
            )
        started.append(process)
        return process

    def kill(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_for(condition, seconds=600):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    yield SimpleNamespace(start=start, kill=kill, wait_for=wait_for, log=log)
    for process in reversed(started):
        kill(process)
