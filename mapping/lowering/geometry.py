"""The geometry of a layer: how its input becomes vectors, and the sums of columns its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from crossbar import LayerShape
from crossbar.vectors import Vectors
from hwmodels.errors import UserError

CONVOLVE: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d, F.conv3d)
CONVOLVE_TRANSPOSED: tuple[Callable[..., Tensor], ...] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a layer's input becomes vectors and its vectors an output.

    kind: the layer type: "Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d",
    "ConvTranspose3d", or "Conv1D", the linear layer of Hugging Face that stores its weight as (in, out).
    weight_shape: (out, in / groups, *kernel), the shape that is lowered: M = weight.reshape(out, −1).T per group
    (`crossbar.to_matrix`). For convolutions: stride and dilation per axis (height, width), padding as `F.pad` takes it
    (last axis first: left, right, top, bottom) and its mode, as torch names them.

    A transposed convolution is driven as what it equals: an ordinary convolution of stride 1 of its input with zeros
    between the pixels, by its kernel turned round. stuffing: its own stride, the distance of the pixels in the stuffed
    input; padding: dilation · (kernel − 1) − its own padding, on the far side plus its output padding, negative where
    the input is cut. Every output pixel is one read; word lines of stuffed zeros carry no voltage.
    """

    kind: str
    weight_shape: tuple[int, ...]
    groups: int = 1
    stride: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0, 0, 0)
    padding_mode: str = "constant"
    stuffing: tuple[int, ...] = ()

    def shape(self, positions: int) -> LayerShape:
        """The matrix that stands on arrays, and how often it is read per inference."""
        rows, out = prod(self.weight_shape[1:]), self.weight_shape[0]
        return LayerShape(rows=rows, cols=out // self.groups, groups=self.groups, positions=positions)

    @property
    def linear(self) -> bool:
        """Whether the last axis of the input is the vector; else the layer is a convolution."""
        return len(self.weight_shape) == 2

    @property
    def axes(self) -> int:
        """Axes that the kernel moves along; 0 for a linear layer."""
        return len(self.weight_shape) - 2

    @property
    def batched_dims(self) -> int:
        """Axes that an input with a batch axis has (a linear layer: at least)."""
        return self.axes + 2

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of the weight as its module holds it."""
        if self.kind == "Conv1D":
            return self.weight_shape[::-1]
        if not self.stuffing:
            return self.weight_shape
        out, inputs, *kernel = self.weight_shape
        return (inputs * self.groups, out // self.groups, *kernel)

    def lowered(self, weight: Tensor) -> Tensor:
        """A weight (or mask) as its module holds it, in `weight_shape`: turned round for a transposed convolution."""
        if self.kind == "Conv1D":
            return weight.transpose(0, 1)
        if not self.stuffing:
            return weight
        split = weight.reshape(self.groups, -1, *weight.shape[1:]).transpose(1, 2)
        return split.reshape(self.weight_shape).flip(*range(2, weight.dim()))

    def stored(self, weight: Tensor) -> Tensor:
        """Undo `lowered`: a weight of `weight_shape` as its module holds it."""
        if self.kind == "Conv1D":
            return weight.transpose(0, 1)
        if not self.stuffing:
            return weight
        turned = weight.flip(*range(2, weight.dim()))
        return turned.reshape(self.groups, -1, *weight.shape[1:]).transpose(1, 2).reshape(self.stored_shape)

    def unbatched(self, x: Tensor) -> bool:
        """Whether an input is one sample without a batch axis."""
        return x.dim() == self.batched_dims - 1

    def require(self, x: Tensor, layer: str) -> None:
        """Raise UserError for a batched input that this layer does not take: kernels would read past its end."""
        if self.linear:
            if x.dim() < 1 or x.shape[-1] != self.weight_shape[1]:
                raise self._misfit(f"(…, {self.weight_shape[1]})", x, layer)
            return
        channels = self.groups * self.weight_shape[1]
        if x.dim() != self.batched_dims or x.shape[1] != channels or min(self.output_size(x)) < 1:
            sizes = ("length",) if self.axes == 1 else ("depth", "height", "width")[-self.axes :]
            raise self._misfit(f"(batch, {channels}, {', '.join(sizes)}) no smaller than its kernel", x, layer)

    def _misfit(self, wanted: str, x: Tensor, layer: str) -> UserError:
        return UserError(f"Layer {layer!r} takes an input of shape {wanted}, not {tuple(x.shape)}.")

    def output_size(self, x: Tensor) -> tuple[int, ...]:
        """Sizes of a convolution's output along the kernel's axes, for input x (…, channels, *sizes)."""
        steps = self._steps
        return tuple(
            [
                ((size - 1) * stuffing + rest) // stride + 1
                for size, (stuffing, rest, stride) in zip(x.shape[-len(steps) :], steps, strict=True)
            ]
        )

    @cached_property
    def _steps(self) -> list[tuple[int, int, int]]:
        """Per axis: distance of the pixels, what padding adds less what the kernel reaches beyond its start, stride."""
        around = [before + after for before, after in zip(self.padding[::2], self.padding[1::2], strict=True)][::-1]
        reach = [dilation * (size - 1) for dilation, size in zip(self.dilation, self.weight_shape[2:], strict=True)]
        rest = [more - less for more, less in zip(around, reach, strict=True)]
        return list(zip(self.stuffing or (1,) * self.axes, rest, self.stride, strict=True))

    def vector_count(self, x: Tensor) -> int:
        """Input vectors that one call with input x drives."""
        if self.linear:
            return x.numel() // x.shape[-1]
        return (1 if self.unbatched(x) else x.shape[0]) * prod(self.output_size(x))

    def gather(self, x: Tensor) -> tuple[Vectors, Tensor]:
        """Input (batch, channels, *sizes) or (…, features) as places in memory: vectors, (groups, rows) offsets.

        The vectors start with all rows; `replace(vectors, offset=offsets[group, rows])` drives chosen ones.
        Nothing is written out but the padding and a transposed convolution's zeros.
        """
        if self.linear:
            flat = x.contiguous()
            rows = torch.arange(x.shape[-1], device=x.device)
            start = torch.arange(self.vector_count(x), device=x.device) * x.shape[-1]
            return Vectors(flat.view(-1), start, rows), rows[None]
        images = self._surrounded(x.unsqueeze(0) if self.unbatched(x) else x)
        if not (self.axes == 2 and images.is_contiguous(memory_format=torch.channels_last)):
            images = images.contiguous()
        batch, channel, *steps = images.stride()

        def places(*axes: tuple[int, int]) -> Tensor:
            """Sums of size and stride pairs, in C order."""
            (size, stride), *others = axes
            total = torch.arange(size, device=x.device) * stride
            for size, stride in others:
                if size != 1:
                    total = (total[:, None] + torch.arange(size, device=x.device) * stride).flatten()
            return total

        moved = [step * stride for step, stride in zip(steps, self.stride, strict=True)]
        start = places((images.shape[0], batch), *zip(self.output_size(x), moved, strict=True))
        spread = [step * dilation for step, dilation in zip(steps, self.dilation, strict=True)]
        window = zip(self.weight_shape[2:], spread, strict=True)
        offsets = places((self.groups * self.weight_shape[1], channel), *window).view(self.groups, -1)
        flat = images.as_strided((images.numel(),), (1,))
        return Vectors(flat, start, offsets.flatten()), offsets

    def _surrounded(self, images: Tensor) -> Tensor:
        """Images with the zeros of a transposed convolution between their pixels, and their padding."""
        if self.stuffing and set(self.stuffing) != {1}:
            sizes = [(n - 1) * step + 1 for n, step in zip(images.shape[2:], self.stuffing, strict=True)]
            wide = images.new_zeros((*images.shape[:2], *sizes))
            wide[(slice(None), slice(None), *(slice(None, None, step) for step in self.stuffing))] = images
            images = wide
        if not any(self.padding):
            return images
        # Torch pads whole numbers of one byte with a constant only; float32 holds every code exactly.
        by_value = images.dtype == torch.uint8 and self.padding_mode == "constant"
        source = images if by_value or images.is_floating_point() else images.float()
        return F.pad(source, self.padding, mode=self.padding_mode).to(images.dtype)

    def vectors(self, x: Tensor) -> Tensor:
        """Input (batch, channels, *sizes) or (…, features) as vectors (n, groups, rows)."""
        if self.linear:
            return x.reshape(-1, 1, x.shape[-1])
        if self.axes != 2:
            return self.gather(x)[0].matrix().unflatten(1, (self.groups, -1))
        images = self._surrounded(x.unsqueeze(0) if self.unbatched(x) else x)
        patches = F.unfold(images, self.weight_shape[2:], dilation=self.dilation, stride=self.stride)
        batch, rows, positions = patches.shape
        return patches.reshape(batch, self.groups, rows // self.groups, positions).permute(0, 3, 1, 2).flatten(0, 1)

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What the layer computes from a batched input with a weight of `weight_shape`: torch's own product."""
        if self.linear:
            return F.linear(x, weight, bias)
        near, far = self.padding[::2][::-1], self.padding[1::2][::-1]
        if self.stuffing:
            border = [d * (k - 1) for d, k in zip(self.dilation, self.weight_shape[2:], strict=True)]
            cut = tuple(b - n for b, n in zip(border, near, strict=True))
            more = tuple(f - n for f, n in zip(far, near, strict=True))
            convolve = CONVOLVE_TRANSPOSED[self.axes - 1]
            return convolve(x, self.stored(weight), bias, self.stuffing, cut, more, self.groups, self.dilation)
        if self.padding_mode != "constant" or near != far:
            x, near = F.pad(x, self.padding, mode=self.padding_mode), (0,) * self.axes
        return CONVOLVE[self.axes - 1](x, weight, bias, self.stride, near, self.dilation, self.groups)

    def output(self, y: Tensor, x: Tensor) -> Tensor:
        """Output vectors (n, groups, cols) as the layer's output tensor for input x."""
        channels = y.shape[1] * y.shape[2]
        if self.linear:
            return y.reshape(*x.shape[:-1], channels)
        batch = 1 if self.unbatched(x) else x.shape[0]
        images = y.reshape(batch, *self.output_size(x), channels).movedim(-1, 1)
        return images.squeeze(0) if self.unbatched(x) else images
