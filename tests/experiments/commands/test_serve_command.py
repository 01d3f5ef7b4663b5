"""`ohmweave serve`: how it starts, what it says when it cannot, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from experiments.cli import command
from experiments.commands.serve_command import bound
from experiments.sweeping.journal import SweepFolder
from hwmodels.errors import UserError

ROOT = Path(__file__).parents[3]


def test_a_port_in_use_is_said(tmp_path, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert command(["serve", str(tmp_path), "--port", str(port)]) == 2
    assert f"Port {port} is in use" in capsys.readouterr().err


@pytest.mark.parametrize(("folder", "message"), [("absent", "There is no folder"), ("file", "is a file")])
def test_a_folder_that_cannot_be_served_is_said(tmp_path, capsys, folder, message):
    (tmp_path / "file").write_text("")
    assert command(["serve", str(tmp_path / folder)]) == 2
    assert message in capsys.readouterr().err


def test_it_listens_on_this_machine_alone():
    with bound(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
    with pytest.raises(UserError, match="--port 70000"):
        bound(70000)


@pytest.fixture
def served(tmp_path):
    """A server of its own process over a folder with two sweeps: its address."""
    for name in ("alpha", "beta"):
        with SweepFolder(tmp_path / "root" / name, {"name": name, "digest": "0"}) as sweep:
            sweep.plan(2, ["accuracy_crossbar_mean"])
            sweep.append([{"id": "0", "point": 0, "row": {"status": "done", "accuracy_crossbar_mean": 0.5}}])
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", "serve", str(tmp_path / "root"), "--port", "0"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/", said)
    assert address is not None, process.communicate()
    yield address[0]
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_it_answers_and_ends_with_ctrl_c(served):
    with urllib.request.urlopen(f"{served}status.json", timeout=60) as answer:
        found = json.loads(answer.read())
    assert [(entry["path"], entry["done"]) for entry in found["entries"]] == [("beta", 1), ("alpha", 1)]
