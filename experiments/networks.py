"""The packaged networks.

Every one is made by `factory(in_channels, classes, image_size)`; its layers keep the names that the literature or
torchvision gives them, so that a plan can speak of "conv2". Images are square, image_size pixels each way. Weight
counts leave biases and batch normalisation out.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Literal, final

from torch import Tensor, nn
from torch.nn import functional as F

from hwmodels.errors import UserError


@final
class DigitsConv(nn.Module):
    """Two convolutions and two linear layers for small grey images; 38 160 weights at 8 × 8 pixels.

    conv1 16×1×3×3, conv2 32×16×3×3 (both padded), 2 × 2 maximum, fc1 64×512, fc2 10×64.
    """

    def __init__(self, in_channels: int, classes: int, image_size: int) -> None:
        """See the class."""
        super().__init__()
        _at_least(image_size, 2, "digits-conv")
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(32 * (image_size // 2) ** 2, 64)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, in_channels, h, w) -> class scores (n, classes)."""
        x = self.relu1(self.conv1(x))
        x = self.pool(self.relu2(self.conv2(x)))
        return self.fc2(self.relu3(self.fc1(x.flatten(1))))


@final
class LeNet5(nn.Module):
    """The 20-50-500-10 LeNet-5 that came with Caffe; 430 500 weights on MNIST (25 500 in the convolutions).

    conv1 20×1×5×5, 2 × 2 maximum, conv2 50×20×5×5, 2 × 2 maximum, fc1 500×800, fc2 10×500. Caffe's
    `examples/mnist/lenet.prototxt` has no non-linearity after a convolution; here each has a ReLU, as in most
    later versions, so that no array meets a negative input (which would cost it a second read).
    """

    def __init__(self, in_channels: int, classes: int, image_size: int) -> None:
        """See the class."""
        super().__init__()
        _at_least(image_size, 16, "lenet5")
        self.conv1 = nn.Conv2d(in_channels, 20, 5)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(50 * (((image_size - 4) // 2 - 4) // 2) ** 2, 500)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(500, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, in_channels, h, w) -> class scores (n, classes)."""
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        return self.fc2(self.relu3(self.fc1(x.flatten(1))))


@final
class VGG(nn.Module):
    """VGG for small images: 3 × 3 convolutions with batch normalisation in stages that each end in a 2 × 2 maximum.

    stages: filters of each convolution, stage by stage; conv3_2 is the second convolution of the third stage.
    hidden: widths of the linear layers before the last one. A convolution has no bias: the batch normalisation
    after it has one. Weights begin as in He et al. 2015 (normal, fan out).
    """

    def __init__(
        self,
        name: str,
        stages: tuple[tuple[int, ...], ...],
        hidden: tuple[int, ...],
        in_channels: int,
        classes: int,
        image_size: int,
    ) -> None:
        """See the class."""
        super().__init__()
        _at_least(image_size, 2 ** len(stages), name)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = in_channels
        for s, stage in enumerate(stages, 1):
            for c, filters in enumerate(stage, 1):
                layers[f"conv{s}_{c}"] = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
                layers[f"bn{s}_{c}"] = nn.BatchNorm2d(filters)
                layers[f"relu{s}_{c}"] = nn.ReLU()
                channels = filters
            layers[f"pool{s}"] = nn.MaxPool2d(2)
        self.features = nn.Sequential(layers)
        widths = (channels * (image_size >> len(stages)) ** 2, *hidden, classes)
        linear: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (before, after) in enumerate(pairwise(widths), 1):
            linear[f"fc{number}"] = nn.Linear(before, after)
            if number < len(widths) - 1:
                linear[f"relu{number}"] = nn.ReLU()
        self.classifier = nn.Sequential(linear)
        _he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, in_channels, h, w) -> class scores (n, classes)."""
        return self.classifier(self.features(x).flatten(1))


@final
class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut (He et al. 2016, figure 2).

    shortcut, where the shape changes: "projection" is a 1 × 1 convolution with batch normalisation (their option
    B), "padding" skips pixels and adds channels of zeros (option A, no weights).
    """

    def __init__(self, in_channels: int, filters: int, stride: int, shortcut: Literal["projection", "padding"]) -> None:
        """See the class."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, filters, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        if stride == 1 and in_channels == filters:
            self.downsample: nn.Module = nn.Identity()
        elif shortcut == "projection":
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )
        else:
            self.downsample = _PaddedShortcut(filters - in_channels, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, filters, h / stride, w / stride)."""
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.downsample(x))


@final
class _PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, and `more` channels of zeros, half of them on each side."""

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more = more
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c + more, h / stride, w / stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))


@final
class ResNet(nn.Module):
    """A residual network for small images: one 3 × 3 convolution, stages of basic blocks, mean over the pixels.

    filters, blocks: of each stage; every stage but the first halves height and width. Modules carry torchvision's
    names (conv1, layer2.0.conv1, layer2.0.downsample.0, fc). Weights begin as in He et al. 2015 (normal, fan out).
    """

    def __init__(
        self,
        filters: tuple[int, ...],
        blocks: tuple[int, ...],
        shortcut: Literal["projection", "padding"],
        in_channels: int,
        classes: int,
    ) -> None:
        """See the class."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, filters[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters[0])
        self.relu = nn.ReLU()
        self.stages = len(filters)
        channels = filters[0]
        for number, (width, depth) in enumerate(zip(filters, blocks, strict=True), 1):
            strides = [1 if number == 1 else 2] + [1] * (depth - 1)
            stage = []
            for stride in strides:
                stage.append(BasicBlock(channels, width, stride, shortcut))
                channels = width
            self.add_module(f"layer{number}", nn.Sequential(*stage))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)
        _he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, in_channels, h, w) -> class scores (n, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(self.pool(x).flatten(1))


def vgg16(in_channels: int, classes: int, image_size: int) -> VGG:
    """VGG-16 for CIFAR: 13 convolutions with 14 710 464 weights (3 channels), one linear layer 10×512 (5 120).

    The convolutions are configuration D of K. Simonyan, A. Zisserman, ICLR 2015, arXiv:1409.1556; batch
    normalisation and a single linear layer in place of its three are the custom for 32 × 32 pixels.
    """
    stages = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    return VGG("vgg16", stages, (), in_channels, classes, image_size)


def vgg8(in_channels: int, classes: int, image_size: int) -> VGG:
    """VGG-8 as crossbar simulators use it: 6 convolutions (4 574 592 weights) and fc1 1024×8192, fc2 10×1024.

    128-128-256-256-512-512 filters, as in DNN+NeuroSim (X. Peng et al., IEEE TCAD 40 (11), 2021); 616 million
    multiply-accumulates an image of 32 × 32 pixels.
    """
    return VGG("vgg8", ((128, 128), (256, 256), (512, 512)), (1024,), in_channels, classes, image_size)


def vgg8_half(in_channels: int, classes: int, image_size: int) -> VGG:
    """VGG-8 at half the width: 6 convolutions (1 144 512 weights at 3 channels) and fc1 512×4096, fc2 10×512.

    64-64-128-128-256-256 filters; a quarter of the multiply-accumulates of `vgg8` (155 million), for processors.
    """
    return VGG("vgg8-half", ((64, 64), (128, 128), (256, 256)), (512,), in_channels, classes, image_size)


def convnet(in_channels: int, classes: int, image_size: int) -> VGG:
    """ConvNet of crossbar pruning papers: 4 convolutions, 155 232 weights (3 channels), and 1 linear layer, 4 480.

    Yuan et al., ISLPED 2019, Table I, prune a ConvNet of so many layers for CIFAR-10 and do not print its widths. They
    remove 102.30 K weights at 2.93 times, so it has 102.30 / (1 − 1/2.93) = 155.3 K (155.17 to 155.44 with both figures
    rounded). Among convolutions of one size (3 × 3 or 5 × 5), widths in multiples of 16 that never fall, 3 × 3 with
    32-32-112-112 filters is the only one in that range. A 2 × 2 maximum after every convolution and one linear layer
    follow Caffe's CIFAR-10 networks, which the name comes from; the batch normalisation is ours.
    """
    return VGG("convnet", ((32,), (32,), (112,), (112,)), (), in_channels, classes, image_size)


def resnet18(in_channels: int, classes: int, image_size: int) -> ResNet:
    """ResNet-18 for CIFAR: 3 × 3 convolutions with 10 987 200 weights, 1 × 1 shortcuts 172 032, fc 10×512.

    K. He et al., CVPR 2016, table 1, with a 3 × 3 first convolution of stride 1 and no first maximum, the custom
    for 32 × 32 pixels. Any image size will do.
    """
    _at_least(image_size, 1, "resnet18")
    return ResNet((64, 128, 256, 512), (2, 2, 2, 2), "projection", in_channels, classes)


def resnet20(in_channels: int, classes: int, image_size: int) -> ResNet:
    """ResNet-20 for CIFAR, 268 336 weights: 16-32-64 filters, three blocks each, shortcuts without weights.

    K. He et al., CVPR 2016, section 4.2 (n = 3, option A).
    """
    _at_least(image_size, 1, "resnet20")
    return ResNet((16, 32, 64), (3, 3, 3), "padding", in_channels, classes)


def _at_least(image_size: int, pixels: int, name: str) -> None:
    if image_size < pixels:
        raise UserError(f"{name} needs images of at least {pixels} × {pixels} pixels, not {image_size} × {image_size}.")


def _he_normal(model: nn.Module) -> None:
    """Convolutions normal with variance 2 / fan out, no bias in the linear layers at the start (He et al. 2015)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
