"""The coverage table: architectures with random weights, mapped and run on ideal arrays.

Each is checked for three things: ideal arrays equal the quantised torch network; every live weight stands in exactly
one tile and comes back from its cells; every matrix is on arrays, or a digital module is named that holds it.
"""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import mapping
from crossbar import ArraySpec
from mapping.inputs import Arguments


def _conv(inputs, outputs, kernel=3, stride=1, groups=1, activation=nn.ReLU):
    parts = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*parts, activation()) if activation else nn.Sequential(*parts)


class Residual(nn.Module):
    """A body beside a shortcut."""

    def __init__(self, body, shortcut=None, after=None):
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut or nn.Identity(), after or nn.Identity()

    def forward(self, x):
        return self.after(self.body(x) + self.shortcut(x))


def _head(channels, classes=10):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def lenet5(wide):
    a, b, c = (20, 50, 500) if wide else (4, 6, 12)
    first = (nn.Conv2d(1, a, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 5), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(16 * b, c), nn.ReLU(), nn.Linear(c, 10))


def vgg16(wide):
    unit, layers, channels = 64 if wide else 2, [], 3
    for filters, depth in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
        for _ in range(depth):
            layers.append(_conv(channels, filters * unit))
            channels = filters * unit
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 10))


def _resnet(unit, depths, bottleneck):
    layers, channels = [_conv(3, unit)], unit
    for stage, depth in enumerate(depths):
        width = unit * 2**stage
        out = width * 4 if bottleneck else width
        for number in range(depth):
            stride = 2 if stage and not number else 1
            if bottleneck:
                body = (
                    _conv(channels, width, 1),
                    _conv(width, width, 3, stride),
                    _conv(width, out, 1, activation=None),
                )
            else:
                body = (_conv(channels, width, 3, stride), _conv(width, out, activation=None))
            short = None if stride == 1 and channels == out else _conv(channels, out, 1, stride, activation=None)
            layers.append(Residual(nn.Sequential(*body), short, nn.ReLU()))
            channels = out
    return nn.Sequential(*layers, _head(channels))


def resnet18(wide):
    return _resnet(64 if wide else 3, (2, 2, 2, 2), bottleneck=False)


def resnet50(wide):
    return _resnet(64 if wide else 2, (3, 4, 6, 3) if wide else (2, 1, 1, 1), bottleneck=True)


class Squeeze(nn.Module):
    """Squeeze and excitation (Hu et al. 2018)."""

    def __init__(self, channels):
        super().__init__()
        inner = max(channels // 4, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.SiLU(),
            nn.Conv2d(inner, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.gate(x)


def _inverted(inputs, outputs, stride, grow, kernel, activation, squeeze):
    inner = inputs * grow
    body = [_conv(inputs, inner, 1, activation=activation)] if grow > 1 else []
    body.append(_conv(inner, inner, kernel, stride, groups=inner, activation=activation))
    body += [Squeeze(inner)] if squeeze else []
    body.append(_conv(inner, outputs, 1, activation=None))
    return Residual(nn.Sequential(*body)) if stride == 1 and inputs == outputs else nn.Sequential(*body)


def _mobile(unit, activation, squeeze, kernels, depths):
    layers, channels = [_conv(3, 4 * unit, 3, 2, activation=activation)], 4 * unit
    for kernel, (grow, out, depth, stride) in zip(kernels, depths, strict=True):
        for number in range(depth):
            layers.append(_inverted(channels, out * unit, 1 if number else stride, grow, kernel, activation, squeeze))
            channels = out * unit
    return nn.Sequential(*layers, _conv(channels, 4 * channels, 1, activation=activation), _head(4 * channels))


MOBILE = ((1, 2, 1, 1), (6, 3, 2, 2), (6, 4, 3, 2), (6, 8, 4, 2), (6, 12, 3, 1), (6, 20, 3, 2), (6, 40, 1, 1))


def mobilenet_v2(wide):
    return _mobile(8 if wide else 1, nn.ReLU6, False, (3,) * 7 if wide else (3, 3), MOBILE if wide else MOBILE[:2])


def efficientnet(wide):
    kernels = (3, 3, 5, 3, 5, 5, 3) if wide else (3, 5)
    return _mobile(8 if wide else 1, nn.SiLU, True, kernels, MOBILE if wide else MOBILE[:2])


class ConvNextBlock(nn.Module):
    """Depthwise 7 × 7, normalisation and two linear layers over the channels (Liu et al. 2022)."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.grow, self.shrink = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.shrink(nn.functional.gelu(self.grow(y)))).permute(0, 3, 1, 2)


def convnext(wide):
    widths, depths = ((96, 192, 384, 768), (3, 3, 9, 3)) if wide else ((4, 8), (1, 1))
    layers, channels = [nn.Conv2d(3, widths[0], 4, 4)], widths[0]
    for width, depth in zip(widths, depths, strict=True):
        layers += [nn.Conv2d(channels, width, 2, 2)] if width != channels else []
        layers += [ConvNextBlock(width) for _ in range(depth)]
        channels = width
    return nn.Sequential(*layers, _head(channels))


class ViT(nn.Module):
    """Patches, a class token, torch's own encoder layers."""

    def __init__(self, width, depth, heads):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 17, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.places
        return self.head(self.encoder(x)[:, 0])


def vit_tiny(wide):
    return ViT(192, 12, 3) if wide else ViT(8, 2, 2)


def bert(wide):
    transformers = pytest.importorskip("transformers")
    size = {} if wide else {"vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {} if wide else {"intermediate_size": 20, "max_position_embeddings": 16}
    return transformers.BertModel(transformers.BertConfig(**size))


def gpt(wide):
    transformers = pytest.importorskip("transformers")
    size = {} if wide else {"vocab_size": 40, "n_embd": 12, "n_layer": 2, "n_head": 2, "n_positions": 16}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**size, **ends))


def hf_vit(wide):
    transformers = pytest.importorskip("transformers")
    size = {"image_size": 16, "patch_size": 4}
    size |= (
        {} if wide else {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
    )
    return transformers.ViTModel(transformers.ViTConfig(**size))


class Sequence(nn.Module):
    """A recurrent layer over characters, and a linear layer on its last output."""

    def __init__(self, kind, width, depth, two_ways):
        super().__init__()
        self.embed = nn.Embedding(30, width)
        self.recurrent = kind(width, width, depth, batch_first=True, bidirectional=two_ways)
        self.out = nn.Linear(width * (2 if two_ways else 1), 30)

    def forward(self, x):
        return self.out(self.recurrent(self.embed(x))[0][:, -1])


def lstm(wide):
    return Sequence(nn.LSTM, 512 if wide else 5, 2, True)


def gru(wide):
    return Sequence(nn.GRU, 512 if wide else 5, 2, False)


class UNet(nn.Module):
    """Down by pooling, up by transposed convolutions, joined by concatenation (Ronneberger et al. 2015)."""

    def __init__(self, unit, depth):
        super().__init__()
        widths = [unit * 2**level for level in range(depth + 1)]
        steps = list(pairwise(widths))
        self.first = _conv(1, unit)
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), _conv(a, b)) for a, b in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(steps))
        self.join = nn.ModuleList(_conv(2 * a, a) for a, _ in reversed(steps))
        self.out = nn.Conv2d(unit, 2, 1)

    def forward(self, x):
        kept = [self.first(x)]
        for down in self.down:
            kept.append(down(kept[-1]))
        y = kept.pop()
        for up, join in zip(self.up, self.join, strict=True):
            y = join(torch.cat([kept.pop(), up(y)], dim=1))
        return self.out(y)


def unet(wide):
    return UNet(64, 4) if wide else UNet(3, 2)


def audio(wide):
    a, b = (64, 128) if wide else (4, 6)
    layers = [nn.Conv1d(1, a, 80, 16), nn.BatchNorm1d(a), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(a, b, 3, groups=2)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(b, 10))


def video(wide):
    a, b = (32, 64) if wide else (3, 4)
    layers = [nn.Conv3d(1, a, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.ConvTranspose3d(a, b, 2, 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(b, 4))


def translator(wide):
    return (
        nn.Transformer(512, 8, 6, 6, 2048, batch_first=True)
        if wide
        else nn.Transformer(8, 2, 1, 1, 12, batch_first=True)
    )


IMAGE, TOKENS = ("image", 3, 16, 16), ("tokens",)
ARCHITECTURES = {
    "LeNet-5": (lenet5, ("image", 1, 28, 28)),
    "VGG-16": (vgg16, ("image", 3, 32, 32)),
    "ResNet-18": (resnet18, IMAGE),
    "ResNet-50": (resnet50, IMAGE),
    "MobileNetV2": (mobilenet_v2, IMAGE),
    "EfficientNet-like": (efficientnet, IMAGE),
    "ConvNeXt-like": (convnext, ("image", 3, 32, 32)),
    "ViT-tiny": (vit_tiny, IMAGE),
    "BERT (Hugging Face)": (bert, ("keyword", "input_ids")),
    "GPT-2 (Hugging Face)": (gpt, ("keyword", "input_ids")),
    "ViT (Hugging Face)": (hf_vit, IMAGE),
    "LSTM": (lstm, TOKENS),
    "GRU": (gru, TOKENS),
    "Encoder and decoder": (translator, ("pair",)),
    "U-Net": (unet, ("image", 1, 16, 16)),
    "1-D audio (FSDD)": (audio, ("image", 1, 4000)),
    "3-D convolutions": (video, ("image", 1, 4, 6, 6)),
}


def _example(kind, *shape, wide=False):
    torch.manual_seed(5)
    if kind == "image":
        return torch.randn(2, *shape)
    if kind == "pair":
        width = 512 if wide else 8
        return torch.randn(2, 5, width), torch.randn(2, 4, width)
    tokens = torch.randint(0, 30, (2, 6))
    return {shape[0]: tokens} if kind == "keyword" else tokens


def _made(name, wide=False):
    build, example = ARCHITECTURES[name]
    torch.manual_seed(1)
    network = build(wide).eval()
    for module in network.modules():  # statistics as after training, else normalisation does nothing
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network, _example(*example, wide=wide)


def _tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _each_weight_once(placement):
    for layer in placement.layers.values():
        count = np.zeros(layer.index.shape, dtype=int)
        for tile in layer.tiles:
            count[tile.group][np.ix_(tile.rows, tile.cols)] += 1
        assert (count[layer.live] == 1).all(), layer.name
        assert count.max() <= 1, layer.name


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_an_architecture_is_mapped_whole(name):
    network, example = _made(name)
    array = ArraySpec(rows=48, cols=24, device="ideal", input_bits=None, adc_bits=None)
    placement = mapping.place(network, array, example)
    call = Arguments.of(example).call
    with torch.no_grad():
        expected = _tensors(call(placement.reference()))
        found = _tensors(call(mapping.CrossbarNetwork(placement)))
        assert expected
        assert len(found) == len(expected)
        for a, b in zip(expected, found, strict=True):
            assert float((a - b).norm()) <= 1e-5 * float(a.norm())
        rough = _tensors(call(network))
    assert float((rough[0] - expected[0]).norm()) < 0.5 * float(rough[0].norm())  # the placed network is this one
    _each_weight_once(placement)
    for layer in placement.layers.values():
        assert torch.equal(layer.weights(), layer.weights_from_cells(array))
    assert placement.macs_on_arrays > 0.6
    weights = {id(p) for m in network.modules() for p in m.parameters(recurse=False) if p.dim() > 1}
    placed = sum(layer.shape.weights for layer in placement.layers.values())
    # What is no cell is named: embeddings, tokens and places, and nothing else that is a matrix.
    left = sum(p.numel() for p in network.parameters() if id(p) in weights) - placed
    tables = sum(p.numel() for item in placement.digital for p in _own(network, item))
    assert left <= tables


def _own(network, item):
    """Matrices that a digital module of the network holds itself."""
    try:
        module = network.get_submodule(item.module)
    except AttributeError:
        return []
    return [p for p in module.parameters(recurse=False) if p.dim() > 1]


def test_the_table_in_the_documentation_is_this_one():
    page = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text(encoding="utf-8")
    table = page.split("<!-- coverage -->")[1]
    assert re.findall(r"^\| ([^|]+?) \|", table, flags=re.M)[1:] == list(ARCHITECTURES)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_an_architecture_of_real_width_is_placed(name):
    network, example = _made(name, wide=True)
    array = ArraySpec(rows=128, cols=128, device="ideal", input_bits=8, adc_bits=None)
    placement = mapping.place(network, array, example, calibrate=False, free_unused=False)
    _each_weight_once(placement)
    assert placement.macs_on_arrays > 0.6
    assert placement.arrays == len(placement.tiles)
