"""`ohmweave serve`: how it starts, what it says when it cannot, and the page in a real browser."""

import json
import os
import re
import shutil
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
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


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


def browse(address, tmp_path, *flags):
    """A page's document after its scripts have run, and what the browser's console said."""
    assert BROWSER is not None
    made = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=5000", *flags, "--dump-dom", address],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return made.stdout, [line for line in made.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("width", [375, 1440])
def test_in_a_browser_pages_load_without_errors_and_the_filter_works(served, tmp_path, width):
    size = f"--window-size={width},800"
    for page in ("", "?filter=alpha&sort=name", "entry/alpha"):
        document, console = browse(served + page, tmp_path, size)
        assert console == [], console
        assert "alpha" in document
        assert ("beta" in document) == (page == "")
