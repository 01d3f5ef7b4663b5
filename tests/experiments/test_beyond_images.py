"""A recurrent network on sounds and a transformer go the whole way, from training to the report."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from admm import Compressed
from experiments import data, setup
from experiments.cli import command
from experiments.config import Config, Data, Network
from experiments.models import build
from experiments.progress import SILENT
from hwmodels.errors import UserError

SHORT = (
    "--train.epochs", "1", "--compress.admm_epochs", "1", "--compress.retrain_epochs", "1", "--compress.finish_epochs",
    "1", "--simulate.seeds", "1", "--simulate.calibration_samples", "8", "--report.no-waterfall", "--report.figures",
    "svg", "--quiet",
)  # fmt: skip


def write_tones(root: Path) -> None:
    """A spoken-digit set of pure tones, one pitch a digit."""
    folder = root / "FSDD" / "recordings"
    folder.mkdir(parents=True)
    for digit in range(10):
        for index in range(4, 8):
            seconds = np.arange(1500 + 100 * index) / 8000
            tone = 9000 * np.sin(2 * np.pi * 300 * (digit + 1) * seconds)
            with io.BytesIO() as file:
                with wave.open(file, "wb") as sound:
                    sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
                    sound.writeframes(tone.astype("<i2").tobytes())
                (folder / f"{digit}_tone_{index}.wav").write_bytes(file.getvalue())


def test_a_recurrent_network_goes_the_whole_way(tmp_path):
    write_tones(tmp_path)
    out = tmp_path / "run"
    assert command(["run", "fsdd-gru", "--data-dir", str(tmp_path), "--out", str(out), *SHORT]) == 0
    record = json.loads((out / "result.json").read_text())
    assert record["constraint_violations"] == record["levels_violations"] == 0
    assert record["accuracy"]["samples"] == 10
    layers = {layer["layer"]: layer for layer in record["layers"]}
    assert list(layers) == ["gru.weight_ih_l0", "gru.weight_hh_l0", "fc"]
    kept = {name: (layer["rows_kept"], layer["cols_kept"]) for name, layer in layers.items()}
    # A row or a column may be left without a live weight, so no more than what was asked for stays.
    assert kept["gru.weight_hh_l0"] <= (64, 128)
    assert kept["gru.weight_ih_l0"][1] <= 192
    assert layers["gru.weight_hh_l0"]["macs"] == 64 * 128 * 384
    compressed = Compressed.load(out / "state" / "compressed", build(
        "speech-gru", in_channels=1, classes=10, image_size=(40, 64),
    ))  # fmt: skip
    assert compressed.masks["gru.weight_hh_l0"].any(dim=1).sum() <= 128
    assert record["digital"][1]["reason"] == "computed in its forward: gates and states of the recurrence"
    assert record["digital"][1]["operations"]["tanh"] == 64 * 128
    assert not any("stay digital" in warning for warning in record["warnings"])
    assert "tanh 8\u202f192" in (out / "report.html").read_text("utf-8").replace("\u2009", "\u202f")


def test_a_transformer_goes_the_whole_way(tmp_path):
    out = tmp_path / "run"
    limits = ("--data.train_limit", "60", "--data.test_limit", "20", "--crossbar.rows", "64", "--crossbar.cols", "64")
    assert command(["run", "digits-vit", "--out", str(out), *limits, *SHORT]) == 0
    record = json.loads((out / "result.json").read_text())
    assert record["constraint_violations"] == record["levels_violations"] == 0
    assert len(record["layers"]) == 1 + 4 * 6 + 1
    layers = {layer["layer"]: layer for layer in record["layers"]}
    # Blocks of 64 × 64: an attention projection is one, and at least one group always stays; of fc1's two one goes.
    assert layers["blocks.3.attention.v_proj"]["kept"] <= 64 * 64
    assert layers["blocks.0.fc1"]["kept"] <= 64 * 64
    scores = {item["module"]: item["macs"] for item in record["digital"] if item["type"] == "Attention"}
    assert scores == {f"blocks.{block}.attention": 2 * 16 * 16 * 64 for block in range(4)}
    assert record["macs_on_arrays"] == pytest.approx(1 - sum(scores.values()) / record["macs_total"])


def test_held_out_samples_take_the_place_of_the_test_set():
    config = Config(data=Data(name="digits", train_limit=200, test_limit=50, held_out=0.25))
    whole, held = data.load("digits", train_limit=200, test_limit=50), setup.load_data(config, SILENT)
    assert (len(held.train[1]), len(held.test[1])) == (150, 50)
    together = torch.cat((held.train[0], held.test[0])).flatten(1)
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, whole.train[0].flatten(1).tolist()))
    assert held.validation is None
    assert held.description.endswith("tested on 50 held-out training samples, not on its test set")
    with pytest.raises(UserError, match="takes 0 of 200 training samples"):
        setup.load_data(Config(data=Data(name="digits", train_limit=200, held_out=1e-6)), SILENT)


def test_networks_and_data_that_do_not_fit_are_refused_before_any_work(tmp_path):
    write_tones(tmp_path)
    config = Config(network=Network(name="lenet5"), data=Data(name="fsdd", dir=str(tmp_path)))
    with pytest.raises(UserError, match="lenet5 takes square images, not 40 × 64 pixels"):
        setup.prepare(config, "mixed", SILENT)
