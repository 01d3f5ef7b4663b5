"""A layer as input vectors times a matrix: how Conv2d and Linear become what arrays compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossbar import LayerShape
from crossbar.vectors import Vectors
from hwmodels.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a layer's input becomes vectors and its vectors an output.

    kind: "Conv2d" or "Linear"; weight_shape: (out, in / groups, *kernel). For convolutions: stride and dilation
    (height, width), padding (left, right, top, bottom) and its mode, as torch names them.
    """

    kind: str
    weight_shape: tuple[int, ...]
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    padding_mode: str = "constant"

    def shape(self, positions: int) -> LayerShape:
        """The matrix that stands on arrays, and how often it is read per inference."""
        out = self.weight_shape[0]
        rows = 1
        for size in self.weight_shape[1:]:
            rows *= size
        return LayerShape(rows=rows, cols=out // self.groups, groups=self.groups, positions=positions)

    @property
    def batched_dims(self) -> int:
        """Axes that an input with a batch axis has at least."""
        return 2 if self.kind == "Linear" else 4

    def require(self, x: Tensor, layer: str) -> None:
        """Raise UserError for a batched input that this layer does not take: kernels would read past its end."""
        channels = self.groups * self.weight_shape[1] if self.kind == "Conv2d" else self.weight_shape[1]
        axis = -3 if self.kind == "Conv2d" else -1
        fits = x.dim() == 4 if self.kind == "Conv2d" else x.dim() >= 1
        if not fits or x.shape[axis] != channels or (self.kind == "Conv2d" and min(self.output_size(x)) < 1):
            wanted = (
                f"(batch, {channels}, height, width) no smaller than its kernel" if axis == -3 else f"(…, {channels})"
            )
            raise UserError(f"Layer {layer!r} takes an input of shape {wanted}, not {tuple(x.shape)}.")

    def output_size(self, x: Tensor) -> tuple[int, int]:
        """Height and width of a convolution's output for input x (…, channels, height, width)."""
        left, right, top, bottom = self.padding
        height = x.shape[-2] + top + bottom - self.dilation[0] * (self.weight_shape[2] - 1) - 1
        width = x.shape[-1] + left + right - self.dilation[1] * (self.weight_shape[3] - 1) - 1
        return height // self.stride[0] + 1, width // self.stride[1] + 1

    def vector_count(self, x: Tensor) -> int:
        """Input vectors that one call with input x drives."""
        if self.kind == "Linear":
            return x.numel() // x.shape[-1]
        height, width = self.output_size(x)
        images = x.shape[0] if x.dim() == 4 else 1
        return images * height * width

    def gather(self, x: Tensor) -> tuple[Vectors, Tensor]:
        """Input (batch, channels, height, width) or (…, features) as places in memory: vectors, (groups, rows) offsets.

        The vectors start with all rows; `replace(vectors, offset=offsets[group, rows])` drives chosen ones.
        Nothing is written out but the padding.
        """
        if self.kind == "Linear":
            flat = x.contiguous()
            rows = torch.arange(x.shape[-1], device=x.device)
            start = torch.arange(self.vector_count(x), device=x.device) * x.shape[-1]
            return Vectors(flat.view(-1), start, rows), rows[None]
        images = x if x.dim() == 4 else x.unsqueeze(0)
        if any(self.padding):
            # Torch pads whole numbers of one byte with a constant only; float32 holds every code exactly.
            by_value = images.dtype == torch.uint8 and self.padding_mode == "constant"
            source = images if by_value else images.float()
            images = F.pad(source, self.padding, mode=self.padding_mode).to(images.dtype)
        if not images.is_contiguous(memory_format=torch.channels_last):
            images = images.contiguous()
        batch, channel, down, right = images.stride()

        def places(*axes: tuple[int, int]) -> Tensor:
            """Sums of size and stride pairs, in C order."""
            total = torch.zeros(1, dtype=torch.int64, device=x.device)
            for size, stride in axes:
                total = (total[:, None] + torch.arange(size, device=x.device) * stride).flatten()
            return total

        height, width = self.output_size(x)
        start = places((images.shape[0], batch), (height, down * self.stride[0]), (width, right * self.stride[1]))
        _, inputs, tall, wide = self.weight_shape
        window = ((tall, down * self.dilation[0]), (wide, right * self.dilation[1]))
        offsets = places((self.groups * inputs, channel), *window).view(self.groups, -1)
        flat = images.as_strided((images.numel(),), (1,))
        return Vectors(flat, start, offsets.flatten()), offsets

    def vectors(self, x: Tensor) -> Tensor:
        """Input (batch, channels, height, width) or (…, features) as vectors (n, groups, rows)."""
        if self.kind == "Linear":
            return x.reshape(-1, 1, x.shape[-1])
        images = x if x.dim() == 4 else x.unsqueeze(0)
        if any(self.padding):
            images = F.pad(images, self.padding, mode=self.padding_mode)
        patches = F.unfold(images, self.weight_shape[2:], dilation=self.dilation, stride=self.stride)
        batch, rows, positions = patches.shape
        return patches.reshape(batch, self.groups, rows // self.groups, positions).permute(0, 3, 1, 2).flatten(0, 1)

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What the layer computes from a batched input with a weight of its own shape: torch's own product."""
        if self.kind == "Linear":
            return F.linear(x, weight, bias)
        left, right, top, bottom = self.padding
        padding = (top, left)
        if self.padding_mode != "constant" or (left, top) != (right, bottom):
            x, padding = F.pad(x, self.padding, mode=self.padding_mode), (0, 0)
        return F.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)

    def output(self, y: Tensor, x: Tensor) -> Tensor:
        """Output vectors (n, groups, cols) as the layer's output tensor for input x."""
        if self.kind == "Linear":
            return y.reshape(*x.shape[:-1], y.shape[1] * y.shape[2])
        height, width = self.output_size(x)
        batch = x.shape[0] if x.dim() == 4 else 1
        images = y.reshape(batch, height, width, y.shape[1] * y.shape[2]).permute(0, 3, 1, 2)
        return images if x.dim() == 4 else images.squeeze(0)


def why_not_mappable(module: nn.Module) -> str | None:
    """None for a layer that arrays can compute, else the reason why it stays digital."""
    if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward:
        return None
    if isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward:
        return None
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        return "it overrides the forward of its layer type, so it may compute something else"
    if not any(True for _ in module.parameters(recurse=False)):
        return "has no weights"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "normalisation: a scale and shift per channel, done digitally"
    return "layer type not supported on crossbars"


def geometry(module: nn.Module) -> Geometry:
    """The geometry of a mappable layer."""
    if isinstance(module, nn.Linear):
        return Geometry(kind="Linear", weight_shape=tuple(module.weight.shape))
    assert isinstance(module, nn.Conv2d)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    left, right, top, bottom = module._reversed_padding_repeated_twice
    return Geometry(
        kind="Conv2d",
        weight_shape=tuple(module.weight.shape),
        groups=module.groups,
        stride=(module.stride[0], module.stride[1]),
        dilation=(module.dilation[0], module.dilation[1]),
        padding=(left, right, top, bottom),
        padding_mode=mode,
    )
