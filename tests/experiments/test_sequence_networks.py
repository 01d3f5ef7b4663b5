"""Networks that read a sequence: their counts, the layers that a plan can name, and images that are no squares."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import mapping
from admm import LayerPlan, Plan
from admm.constraints import Filter
from admm.layers import resolve
from crossbar import ArraySpec
from experiments.models import build
from experiments.sequence_networks import SpeechGRU, VisionTransformer
from hwmodels.errors import UserError
from mapping.rewriting import rewritable

SPEECH = {"in_channels": 1, "classes": 10, "image_size": (40, 64)}
MNIST = {"in_channels": 1, "classes": 10, "image_size": 28}
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
GRU = {"gru.weight_ih_l0": 384 * 40, "gru.weight_hh_l0": 384 * 128, "fc": 1280}


def vit(patch: int) -> dict[str, int]:
    found = {"conv_proj": 64 * patch**2}
    for block in range(4):
        found |= {f"blocks.{block}.attention.{name}": 64 * 64 for name in PROJECTIONS}
        found |= {f"blocks.{block}.fc1": 64 * 128, f"blocks.{block}.fc2": 128 * 64}
    return {**found, "head": 640}


@pytest.mark.parametrize(
    ("name", "size", "layers", "total"),
    [
        ("speech-gru", SPEECH, GRU, 65_792),
        ("vit-tiny-2", MNIST, vit(2), 131_968),
        ("vit-tiny-4", MNIST, vit(4), 132_736),
        ("vit-tiny-7", MNIST, vit(7), 134_848),
    ],
)
def test_every_weight_is_in_a_layer_that_plans_and_placements_name(name, size, layers, total):
    model = build(name, **size)
    planned = resolve(Plan(layers=(LayerPlan(name="*", prune=(Filter(0.5),)),)), model)
    assert {key: layer.weight.numel() for key, layer in planned.items()} == layers
    assert sum(layers.values()) == total
    assert rewritable(model) == []
    x = torch.rand(2, 1, *(size["image_size"] if isinstance(size["image_size"], tuple) else (28, 28)))
    placement = mapping.place(model, ArraySpec(rows=64, cols=64, device="yuan2019"), x, calibrate=False)
    assert sorted(placement.layers) == sorted(layers)


def test_the_recurrent_layer_is_read_once_a_frame():
    placement = mapping.place(
        build("speech-gru", **SPEECH), ArraySpec(rows=64, cols=64, device="yuan2019"), torch.rand(2, 1, 40, 64),
        calibrate=False,
    )  # fmt: skip
    assert {name: layer.shape.positions for name, layer in placement.layers.items()} == dict(
        zip(GRU, (64, 64, 1), strict=True)
    )
    assert placement.macs_on_arrays == 1  # gates are element by element


def test_the_attention_of_a_transformer_is_counted_as_digital():
    placement = mapping.place(
        build("vit-tiny-7", **MNIST), ArraySpec(rows=64, cols=64, device="yuan2019"), torch.rand(2, 1, 28, 28),
        calibrate=False,
    )  # fmt: skip
    scores = 4 * 2 * 16 * 16 * 64  # in every block queries with keys and weights with values, 16 tokens each
    assert placement.macs_total == 16 * (vit(7)["conv_proj"] + 4 * 32_768) + 640 + scores
    assert placement.macs_on_arrays == pytest.approx(1 - scores / placement.macs_total)


def test_what_is_built_computes_what_torch_does():
    for factory, size in ((SpeechGRU, SPEECH), (lambda *s: VisionTransformer("v", 7, 64, 4, 4, *s), MNIST)):
        torch.manual_seed(3)
        plain = factory(*size.values()).eval()
        name = "speech-gru" if factory is SpeechGRU else "vit-tiny-7"
        made = build(name, **size, seed=3)
        x = torch.rand(3, 1, *(size["image_size"] if factory is SpeechGRU else (28, 28)))
        with torch.no_grad():
            torch.testing.assert_close(made(x), plain(x), rtol=1e-4, atol=1e-5)


def test_weights_come_under_torchs_names_or_those_of_the_layers(tmp_path):
    torch.manual_seed(5)
    plain = SpeechGRU(1, 10, (40, 64)).eval()
    save_file(plain.state_dict(), tmp_path / "torch.safetensors")
    first = build("speech-gru", **SPEECH, weights=tmp_path / "torch.safetensors")
    save_file(first.state_dict(), tmp_path / "layers.safetensors")
    second = build("speech-gru", **SPEECH, weights=tmp_path / "layers.safetensors")
    x = torch.rand(2, 1, 40, 64)
    with torch.no_grad():
        torch.testing.assert_close(first(x), plain(x), rtol=1e-4, atol=1e-5)
        assert torch.equal(first(x), second(x))
    save_file({"gru.weight_ih_l0": torch.zeros(384, 40)}, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match=r"lacks 'fc.bias', 'fc.weight', 'gru.weight_hh_l0.bias'"):
        build("speech-gru", **SPEECH, weights=tmp_path / "part.safetensors")


@pytest.mark.parametrize("name", ["lenet5", "vgg8", "resnet20", "digits-conv"])
def test_networks_of_square_images_refuse_others(name):
    with pytest.raises(UserError, match=rf"{name} takes square images, not 40 × 64 pixels; these take any: speech-gru"):
        build(name, **SPEECH)
    assert isinstance(build(name, in_channels=1, classes=3, image_size=(32, 32)), nn.Module)


def test_images_that_do_not_divide_into_patches():
    with pytest.raises(UserError, match=r"vit-tiny-7 cuts images into 7 × 7 pixels; 32 × 32 do not divide so"):
        build("vit-tiny-7", in_channels=3, classes=10, image_size=32)
    model = build("vit-tiny-4", in_channels=3, classes=10, image_size=(16, 32))
    assert model(torch.rand(2, 3, 16, 32)).shape == (2, 10)


def test_a_users_own_network_is_given_height_and_width(tmp_path, monkeypatch):
    (tmp_path / "own_speech.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, image_size, classes):\n"
        "        super().__init__()\n"
        "        self.lstm = nn.LSTM(image_size[0], 6, batch_first=True)\n"
        "        self.fc = nn.Linear(6, classes)\n"
        "    def forward(self, x):\n"
        "        return self.fc(self.lstm(x[:, 0].transpose(1, 2))[0][:, -1])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    model = build("own_speech:Net", **SPEECH)
    assert {name for name, module in model.named_modules() if isinstance(module, nn.Linear)} == {
        "lstm.weight_ih_l0", "lstm.weight_hh_l0", "fc",
    }  # fmt: skip
    assert Path("own_speech.py").exists()
