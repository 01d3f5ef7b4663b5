"""Packaged networks have the weights the literature counts; a user's own is found, called and checked."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from experiments.models import build, importable, names
from hwmodels.errors import UserError

DIGITS = {"in_channels": 1, "classes": 10, "image_size": 8}
CIFAR = {"in_channels": 3, "classes": 10, "image_size": 32}


def weights(model: nn.Module, kernel: int | None = None) -> int:
    """Weights of convolutions of that kernel, or of all convolutions and linear layers."""
    kinds = (nn.Conv2d,) if kernel else (nn.Conv2d, nn.Linear)
    return sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, kinds) and (kernel is None or module.kernel_size == (kernel, kernel))
    )


def chain(channels: list[int], kernel: int = 3) -> int:
    """Weights of convolutions that pass these channels on."""
    return sum(a * b * kernel**2 for a, b in pairwise(channels))


def test_names():
    assert names() == (
        "convnet",
        "digits-conv",
        "lenet5",
        "resnet18",
        "resnet20",
        "speech-gru",
        "vgg16",
        "vgg8",
        "vgg8-half",
        "vit-tiny-2",
        "vit-tiny-4",
        "vit-tiny-7",
    )


VGG16 = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
RESNET18 = [3, 64, *[64] * 4, *[128] * 4, *[256] * 4, *[512] * 4]
RESNET20 = [3, 16, *[16] * 6, *[32] * 6, *[64] * 6]


@pytest.mark.parametrize(
    ("name", "size", "total", "kernel", "convolutions"),
    [
        ("digits-conv", DIGITS, 16 * 9 + 32 * 16 * 9 + 512 * 64 + 64 * 10, 3, chain([1, 16, 32])),
        ("lenet5", {**DIGITS, "image_size": 28}, 430_500, 5, chain([1, 20, 50], 5)),
        ("vgg16", CIFAR, chain(VGG16) + 5120, 3, 14_710_464),
        ("vgg8", CIFAR, 4_574_592 + 8192 * 1024 + 10_240, 3, chain([3, 128, 128, 256, 256, 512, 512])),
        ("vgg8-half", CIFAR, 1_144_512 + 4096 * 512 + 5120, 3, chain([3, 64, 64, 128, 128, 256, 256])),
        ("convnet", CIFAR, 155_232 + 4480, 3, chain([3, 32, 32, 112, 112])),
        ("resnet18", CIFAR, 10_987_200 + 172_032 + 5120, 3, chain(RESNET18)),
        ("resnet20", CIFAR, 268_336, 3, chain(RESNET20)),
    ],
)
def test_weight_counts_and_outputs(name, size, total, kernel, convolutions):
    model = build(name, **size)
    assert weights(model) == total
    assert weights(model, kernel) == convolutions
    assert not model.training
    images = torch.rand(3, size["in_channels"], size["image_size"], size["image_size"])
    with torch.no_grad():
        assert model(images).shape == (3, 10)


def test_counts_of_the_papers():
    assert chain(VGG16) == 14_710_464
    assert chain(RESNET18) == 10_987_200
    assert chain([1, 20, 50], 5) == 25_500


def test_the_widths_of_the_convnet_are_the_only_ones_that_fit_the_paper():
    wide = range(16, 161, 16)
    chains = [[3, a, b, c, d] for a in wide for b in wide for c in wide for d in wide if a <= b <= c <= d]
    least, most = 102_295 / (1 - 1 / 2.925), 102_305 / (1 - 1 / 2.935)  # 102.30 K removed at 2.93 times, rounded
    fitting = [
        (kernel, way)
        for kernel in (3, 5)
        for way in chains
        if min(least, most) <= chain(way, kernel) <= max(least, most)
    ]
    assert fitting == [(3, [3, 32, 32, 112, 112])]


@pytest.mark.parametrize("name", ["digits-conv", "lenet5", "resnet20", "vgg8"])
@pytest.mark.parametrize(("channels", "classes", "image_size"), [(2, 7, 16), (1, 3, 28)])
def test_other_images_and_classes(name, channels, classes, image_size):
    model = build(name, in_channels=channels, classes=classes, image_size=image_size)
    with torch.no_grad():
        assert model(torch.rand(2, channels, image_size, image_size)).shape == (2, classes)


def test_layers_have_the_names_that_plans_use():
    def layers(name: str, size: dict) -> list[str]:
        return [key for key, m in build(name, **size).named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    assert layers("lenet5", {**DIGITS, "image_size": 28}) == ["conv1", "conv2", "fc1", "fc2"]
    assert layers("digits-conv", DIGITS) == ["conv1", "conv2", "fc1", "fc2"]
    assert layers("vgg16", CIFAR)[::6] == ["features.conv1_1", "features.conv3_3", "features.conv5_3"]
    assert layers("vgg16", CIFAR)[-1] == "classifier.fc1"
    assert layers("resnet18", CIFAR)[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert "layer2.0.downsample.0" in layers("resnet18", CIFAR)
    assert layers("resnet20", CIFAR)[-1] == "fc"


def test_a_shortcut_with_padding_keeps_every_second_pixel():
    block = build("resnet20", **CIFAR).get_submodule("layer2.0.downsample")
    x = torch.rand(1, 16, 8, 8)
    y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()
    assert y.shape == (1, 32, 4, 4)


def test_channels_stand_last_in_memory_where_the_forward_lets_them(write):
    model = build("digits-conv", **DIGITS)
    convolution = next(m for m in model.modules() if isinstance(m, nn.Conv2d) and m.in_channels > 1)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    write(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b = torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 10, 3)\n"
        "    def forward(self, x): return self.b(self.a(x)).view(x.shape[0], -1)[:, :10]\n"
    )
    viewing = build("users_net:Net", **DIGITS)
    assert viewing.b.weight.is_contiguous()
    assert viewing(torch.rand(3, 1, 8, 8)).shape == (3, 10)


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    first, again, other = (build("digits-conv", **DIGITS, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "vgg-16",
            r"^Unknown network 'vgg-16'\. Did you mean 'vgg16'\? Your own network is package\.module:factory\.$",
        ),
        ("quark", r"^Unknown network 'quark'\. Choose one of: convnet, digits-conv, .* Your own network is"),
        ("vgg16", r"^vgg16 needs images of at least 32 × 32 pixels, not 8 × 8\.$"),
        ("lenet5", r"^lenet5 needs images of at least 16 × 16 pixels, not 8 × 8\.$"),
    ],
)
def test_networks_that_cannot_be_had(name, words):
    with pytest.raises(UserError, match=words):
        build(name, **DIGITS)


# ---------------------------------------------------------------- the user's own


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module of the user's into the current folder; forget it afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def module(text: str, name: str = "users_net") -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text("from torch import nn\n" + text)

    yield module
    for name in set(sys.modules) - before:
        if name.startswith("users_"):
            del sys.modules[name]


FLAT = "nn.Sequential(nn.Flatten(), nn.Linear({}, {}))"


def test_a_factory_is_given_what_it_takes(write):
    write(
        f"def nothing(): return {FLAT.format(64, 10)}\n"
        f"def two(classes, *, image_size): return {FLAT.format('image_size**2', 'classes')}\n"
        "def all_of_them(**size): return nn.Sequential(nn.Flatten(), nn.Linear(64, size['classes']))\n"
        f"def more(classes, hidden=3): return {FLAT.format(64, 'classes')}\n"
        "class Net(nn.Sequential):\n"
        f"    def __init__(self, classes): super().__init__({FLAT.format(64, 'classes')})\n"
    )
    path = list(sys.path)
    for factory in ("nothing", "two", "all_of_them", "more", "Net"):
        assert build(f"users_net:{factory}", **DIGITS)(torch.rand(1, 1, 8, 8)).shape == (1, 10)
    assert sys.path == path


def test_a_module_in_a_package_of_the_current_folder_may_import_its_neighbour(write):
    write(f"def make(): return {FLAT.format(64, 10)}\n", "users_package.parts")
    write("def make():\n    from users_package.parts import make\n    return make()\n", "users_package.net")
    assert isinstance(build("users_package.net:make", **DIGITS), nn.Sequential)


def test_the_users_first_weights_follow_from_the_seed(write):
    write(f"def make(): return {FLAT.format(64, 10)}\n")
    first, again, other = (build("users_net:make", **DIGITS, seed=seed)[1].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "users_nett:make", r"^There is no module 'users_nett' in .* or among the installed packages \(network"),
        ("", "users_net.sub:make", r"^There is no module 'users_net\.sub' in "),
        ("", "users net:make", r"^'users net:make' is no network: write package\.module:factory\.$"),
        ("", ":make", r"^':make' is no network"),
        ("def make_net(): ...", "users_net:makenet", r"has no 'makenet' .*Did you mean 'make_net'\?$"),
        ("x = 1", "users_net:", r"^users_net has no ''"),
        ("make = 3", "users_net:make", r"is a int, not a function or class"),
        ("make = nn.Linear(2, 2)", "users_net:make", r"is a network, not a function that makes one: write `def"),
        ("def make(): return 3", "users_net:make", r"^users_net:make gave a int, not a torch\.nn\.Module\.$"),
        (
            "import nothing_such",
            "users_net:make",
            r"^Importing users_net failed with ModuleNot.*nothing_such",
        ),
        ("def make(:", "users_net:make", r"^Importing users_net failed with Syntax.*users_net\.py, line 2\)\.$"),
        (
            "1 / 0",
            "users_net:make",
            r"^Importing users_net failed with ZeroDivision.*users_net\.py, line 2\)\.$",
        ),
        (
            "def make(): raise ValueError('no such width')",
            "users_net:make",
            r"^users_net:make failed with ValueError: no such width \(.*users_net\.py, line 2\)\.$",
        ),
        (
            "def make(width, classes): ...",
            "users_net:make",
            r"requires 'width'; .* 'in_channels', 'classes', 'ima",
        ),
        ("def make(classes, /): ...", "users_net:make", r"requires 'classes'; a network's factory is given"),
        (
            "def make(): return nn.Sequential(nn.Flatten(), nn.Linear(60, 10))",
            "users_net:make",
            r"^The network 'users_net:make' cannot take images of \(channels, height, width\) = \(1, 8, 8\): Run",
        ),
        (
            "def make(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))",
            "users_net:make",
            r"turns two images into \(2, 5\); 10 classes need scores \(2, 10\)\.$",
        ),
        (
            "def make():\n    m = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
            "    m[1].weight.data[2, 3] = float('nan')\n    return m",
            "users_net:make",
            r"^Tensor '1\.weight' of the network 'users_net:make' holds 1 values that are .*\(nan\) at \(2, 3\)",
        ),
    ],
)
def test_mistakes_in_the_users_module(write, text, name, words):
    write(text)
    with pytest.raises(UserError, match=words):
        build(name, **DIGITS)


def test_the_import_path_is_restored_after_a_failure(tmp_path):
    def failing() -> None:
        with importable(tmp_path):
            assert sys.path[0] == str(tmp_path)
            raise KeyError

    path = list(sys.path)
    with pytest.raises(KeyError):
        failing()
    assert sys.path == path


# ---------------------------------------------------------------- weights


def state(seed: int = 5) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in build("digits-conv", **DIGITS, seed=seed).state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_are_loaded(tmp_path, dtype):
    path = tmp_path / "w.safetensors"
    save_file({key: tensor.to(dtype) for key, tensor in state().items()}, path)
    model = build("digits-conv", **DIGITS, weights=path)
    assert model.get_parameter("conv1.weight").dtype == torch.float32
    for key, tensor in state().items():
        assert torch.equal(model.state_dict()[key], tensor.to(dtype).float())


def test_batch_normalisation_is_loaded_with_its_counters(tmp_path):
    path = tmp_path / "w.safetensors"
    saved = {name: value.contiguous() for name, value in build("resnet20", **CIFAR, seed=5).state_dict().items()}
    saved["bn1.num_batches_tracked"] = torch.tensor(17)
    save_file(saved, path)
    assert build("resnet20", **CIFAR, weights=str(path)).state_dict()["bn1.num_batches_tracked"] == 17


def spoil(value: float):
    return lambda s: s["fc1.weight"].__setitem__((1, 2), value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("fc1.weight"), r"does not fit the network: it lacks 'fc1\.weight'\.$"),
        (lambda s: s.update(extra=torch.zeros(1)), r"it has 'extra' too many\.$"),
        (lambda s: s.clear(), r"it lacks 'conv1\.bias', 'conv1\.weight', 'conv2\.bias' and 5 more\.$"),
        (lambda s: s.update({"fc9.bias": s.pop("fc2.bias")}), r"it lacks 'fc2\.bias' and has 'fc9\.bias' too many\.$"),
        (lambda s: s.update({"fc2.bias": torch.zeros(9)}), r"'fc2\.bias' has the shape \(9,\), the network's \(10,\)"),
        (
            lambda s: s.update({"fc2.bias": torch.zeros(10).int()}),
            r"'fc2\.bias' is torch\.int32, the network's ",
        ),
        (
            spoil(float("nan")),
            r"^Tensor 'fc1\.weight' of .*w\.safetensors holds 1 values that are not finite.*at \(1, 2\)",
        ),
        (spoil(float("inf")), r"the first one \(inf\) at \(1, 2\)"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, change, words):
    path, tensors = tmp_path / "w.safetensors", state()
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(UserError, match=words):
        build("digits-conv", **DIGITS, weights=path)


@pytest.mark.parametrize("content", [b"", b"not a tensor in sight", None])
def test_weights_files_that_are_none(tmp_path, content):
    path = tmp_path / "w.safetensors"
    save_file(state(), path)
    path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    with pytest.raises(UserError, match=r"w\.safetensors is no intact safetensors file: "):
        build("digits-conv", **DIGITS, weights=path)
    with pytest.raises(UserError, match=r"^There is no weights file .*nowhere"):
        build("digits-conv", **DIGITS, weights=tmp_path / "nowhere")
