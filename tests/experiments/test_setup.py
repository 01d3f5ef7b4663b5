"""What a run works with is checked before it starts, and goes where it is asked to go."""

import io
from dataclasses import replace

import pytest
import torch

import mapping
from experiments.config import Config
from experiments.progress import SILENT, Progress
from experiments.setup import prepare
from hwmodels.errors import UserError


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = Config()
    asked = replace(
        config, train=replace(config.train, device="cuda"), data=replace(config.data, name="cifar10", dir="/nowhere")
    )
    with pytest.raises(
        UserError, match=r"^train\.device = \"cuda\": torch finds no GPU here\. Take --train\.device cpu"
    ):
        prepare(asked, "gpu", SILENT)


def test_the_batches_of_training_and_compression_go_to_its_device():
    """Meta tensors stand in for a GPU."""
    config = Config()
    setup = prepare(replace(config, data=replace(config.data, train_limit=20, test_limit=10)), "cpu", SILENT)
    object.__setattr__(setup.config.train, "device", "meta")
    for batches in (setup.batches("train"), setup.compression_batches(), setup.batches("test", "meta")):
        assert {part.device.type for batch in batches for part in batch} == {"meta"}
    assert {part.device.type for batch in setup.batches("test") for part in batch} == {"cpu"}


def test_a_budget_says_where_layers_cannot_be_chosen_along_their_chain(monkeypatch):
    config = Config()
    small = replace(
        config,
        data=replace(config.data, train_limit=20, test_limit=10),
        compress=replace(config.compress, target="arrays", limit=20, prune={}),
    )
    said = []
    for reason in (None, "a reason"):
        if reason:
            monkeypatch.setattr(mapping, "feeds", lambda *_, why=reason: (_ for _ in ()).throw(UserError(why)))
        stream = io.StringIO()
        with Progress(stream=stream) as progress:
            prepare(small, "budget", progress)
        said.append(stream.getvalue())
    assert "one by one" not in said[0]
    assert "The budget takes layers one by one, not along their chain: a reason" in said[1]
