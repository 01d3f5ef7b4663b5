"""The command line as a user meets it: what it prints where, exit codes, and messages."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from experiments.cli import command

FAST = [
    "--data.train_limit", "100", "--data.test_limit", "40", "--train.epochs", "1", "--compress.admm_epochs", "1",
    "--compress.retrain_epochs", "0", "--compress.finish_epochs", "0", "--simulate.seeds", "1",
    "--simulate.calibration_samples", "8", "--report.figures", "svg",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_help_reads_well(capsys):
    assert command(["--help"]) == 0
    out = capsys.readouterr().out
    for word in ("run CONFIG", "--data-dir", "devices", "libraries", "report DIR", "digits", "mnist-lenet5"):
        assert word in out


def test_no_command_shows_the_help_and_fails(capsys):
    assert command([]) == 2
    assert "usage: ohmweave" in capsys.readouterr().out


def test_run_help_lists_every_section(capsys):
    assert command(["run", "digits", "--help"]) == 0
    out = capsys.readouterr().out
    for key in ("--crossbar.rows", "--device.preset", "--hardware.library", "--data.dir", "--compress.rho", "--seed"):
        assert key in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["rn"], "Unknown command 'rn'. Did you mean 'run'?"),
        (["run"], "The configuration comes first"),
        (["run", "--seed", "3"], "The configuration comes first"),
        (["run", "digts"], "Did you mean 'digits'?"),
        (["run", "digits", "--crossbar.row", "64"], "--crossbar.rows"),
        (["run", "digits", "--crossbar.rows", "0"], "greater than or equal to 1"),
        (["run", "digits", "--crossbar.rows", "many"], "--crossbar.rows"),
        (["run", "digits", "--device.preset", "hfx"], "Did you mean 'hfox'?"),
        (["run", "digits", "--hardware.library", "isac"], "isaac-32nm"),
        (["run", "digits", "--network.name", "lenet"], "lenet5"),
        (["run", "digits", "--network.name", "nowhere:net"], "nowhere"),
        (["run", "mnist-lenet5"], "--data-dir"),
        (["run", "mnist-lenet5", "--data-dir", "nowhere"], "nowhere"),
        (["run", "digits", "--compress.prune.fc9.column", "3"], "fc9"),
        (["run", "digits", "--compress.budget.fc9*.keep", "0.5"], "Unknown layer 'fc9*'"),
        (["devices", "hfx"], "Did you mean 'hfox'?"),
        (["libraries", "isac"], "isaac-32nm"),
        (["devices", "a", "b"], "takes no 'b'"),
        (["report"], "Which run?"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(args, message, capsys, tmp_path):
    assert command(args) == 2
    captured = capsys.readouterr()
    said = " ".join((captured.err + captured.out).split())
    assert message in said.replace("│ ", "")
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir()), "nothing is written for a mistake"


def test_a_run_prints_the_answer_and_only_the_answer_on_stdout(capsys, tmp_path):
    assert command(["run", "digits", *FAST]) == 0
    captured = capsys.readouterr()
    assert "accuracy" in captured.out.lower()
    assert "report.html" in captured.out
    assert "Training" in captured.err
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 1
    assert folders[0].name.startswith("digits-")
    # The same command reads the result again, and a quiet one says nothing but that.
    assert command(["run", "digits", *FAST, "--quiet"]) == 0
    again = capsys.readouterr()
    assert again.out == captured.out
    assert again.err == ""
    # The report can be written again from the folder.
    (folders[0] / "report.html").unlink()
    assert command(["report", str(folders[0])]) == 0
    assert (folders[0] / "report.html").exists()


def test_flags_lie_over_the_file(capsys, tmp_path):
    flags = ["--crossbar.rows", "64", "--device.preset", "hfox", "--device.levels", "8", "--seed", "5"]
    assert command(["run", "digits", *FAST, *flags, "--compress.prune.conv1.filter", "12", "--out", "o", "-q"]) == 0
    record = json.loads((tmp_path / "o" / "result.json").read_text())
    assert record["config"]["crossbar"]["rows"] == 64
    assert record["config"]["device"] == {**record["config"]["device"], "preset": "hfox", "levels": 8}
    assert record["config"]["compress"]["prune"]["conv1"] == {"filter": 12}
    assert record["seed"] == 5
    assert record["layers"][0]["cols_kept"] <= 12
    # Another configuration in the same folder is refused, and the folder stays as it was.
    before = (tmp_path / "o" / "result.json").read_bytes()
    assert command(["run", "digits", *FAST, "--out", "o"]) == 2
    assert "holds another run" in capsys.readouterr().err
    assert (tmp_path / "o" / "result.json").read_bytes() == before


def test_a_users_own_network_and_weights(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\ndef net(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Hardtanh(), nn.Linear(24, classes))\n"
    )
    args = ["run", "digits", *FAST, "--network.name", "mine:net"]
    config = tmp_path / "own.toml"
    config.write_text('[network]\nname = "mine:net"\n')
    assert command(["run", str(config), *args[2:], "-q", "--out", "o"]) == 0
    record = json.loads((tmp_path / "o" / "result.json").read_text())
    assert [layer["layer"] for layer in record["layers"]] == ["1", "3"]
    weights = tmp_path / "o" / "state" / "dense" / "weights.safetensors"
    more = ["--network.weights", str(weights), "--train.epochs", "0", "-q", "--out", "p"]
    assert command(["run", str(config), *args[2:], *more]) == 0
    again = json.loads((tmp_path / "p" / "result.json").read_text())
    assert again["accuracy"]["dense"] == record["accuracy"]["dense"]
    # The same command with another network behind the same name is another run.
    capsys.readouterr()
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("24", "20"))
    assert command(["run", str(config), *args[2:], "-q", "--out", "o"]) == 2
    assert "another content of the network's module" in capsys.readouterr().err


def test_nan_weights_are_refused_by_name(capsys, tmp_path):
    import torch
    from safetensors.torch import save_file

    from experiments import models

    network = models.build("digits-conv", in_channels=1, classes=10, image_size=8)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    state["conv2.weight"] = torch.full_like(state["conv2.weight"], float("nan"))
    save_file(state, tmp_path / "w.safetensors")
    assert command(["run", "digits", "--network.weights", "w.safetensors"]) == 2
    assert "conv2.weight" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_layer_that_cannot_be_mapped_is_named_and_counted(tmp_path):
    (tmp_path / "turned.py").write_text(
        "from torch import nn\n\n\nclass Own(nn.Conv2d):\n"
        "    def forward(self, x):\n        return super().forward(x)\n\n\n"
        "def net():\n    return nn.Sequential(Own(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))\n"
    )
    assert command(["run", "digits", *FAST, "--network.name", "turned:net", "--out", "o", "-q",
                    "--compress.prune.3.column", "0.5"]) == 2  # fmt: skip
    config = tmp_path / "own.toml"
    config.write_text('[network]\nname = "turned:net"\n[compress.prune.3]\ncolumn = 0.5\n')
    assert command(["run", str(config), *FAST, "--out", "o", "-q"]) == 0
    record = json.loads((tmp_path / "o" / "result.json").read_text())
    digital = {item["module"]: item["reason"] for item in record["digital"]}
    assert "overrides the forward" in digital["0"]
    assert 0 < record["macs_on_arrays"] < 1
    assert any("not on arrays" in warning for warning in record["warnings"])


def test_devices_and_libraries_show_their_sources(capsys):
    assert command(["devices"]) == 0
    assert "yuan2019" in capsys.readouterr().out
    assert command(["devices", "yuan2019"]) == 0
    assert "1908.11691" in capsys.readouterr().out.replace("\n", "")
    assert command(["libraries"]) == 0
    assert "isaac-32nm" in capsys.readouterr().out
    assert command(["libraries", "isaac-32nm"]) == 0
    assert "ISAAC" in capsys.readouterr().out


def _listen_to_interrupts() -> None:
    # A shell lets what it starts in the background ignore them, and that is inherited by the tests and from them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_ends_with_130_and_the_same_command_goes_on(tmp_path):
    """A real process, a real SIGINT in the middle of training."""
    line = [sys.executable, "-m", "experiments.cli", "run", "digits", *FAST, "--train.epochs", "400", "--out", "o"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path,
        preexec_fn=_listen_to_interrupts,
    )  # fmt: skip
    checkpoint = tmp_path / "o" / "state" / "dense" / "checkpoint"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert not (tmp_path / "o" / "result.json").exists()
    assert checkpoint.exists()


def test_help_and_lists_load_nothing_heavy():
    code = "import sys; from experiments.cli import command; command(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    code = "import sys; from experiments.cli import command; command(['devices']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
