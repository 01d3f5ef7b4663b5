"""ONNX operators that hold weights, as layers of torch: what arrays can compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from hwmodels.errors import UserError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Node:
    """One node of an ONNX graph. inputs, outputs: names of values, "" where one is left out."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def refuse(self, why: str) -> UserError:
        """The error that names this node."""
        return UserError(f"ONNX node {self.name!r} ({self.kind}): {why}.")


Constants = Mapping[str, Tensor]
"""Values of the graph that are known: initialisers and constant nodes."""

Made = tuple[nn.Module, tuple[str, ...]]
"""A layer, and the values that it reads."""


def _known(node: Node, constants: Constants, at: int) -> Tensor | None:
    """A constant input of a node; None where it is left out or computed."""
    return constants.get(node.inputs[at]) if at < len(node.inputs) and node.inputs[at] else None


def _weights(node: Node, constants: Constants) -> tuple[Tensor, Tensor | None] | None:
    """Weight and bias of a layer; None where one of them is computed."""
    weight, bias = _known(node, constants, 1), _known(node, constants, 2)
    given = len(node.inputs) > 2 and node.inputs[2]
    return None if weight is None or (given and bias is None) else (weight, bias)


def _fill(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    layer.weight = nn.Parameter(weight.float(), requires_grad=True)
    layer.bias = None if bias is None else nn.Parameter(bias.float())
    return layer


class Surrounded(nn.Module):
    """A layer behind a padding that differs from side to side."""

    def __init__(self, padding: list[int], layer: nn.Module) -> None:
        """padding: as `torch.nn.functional.pad` takes it."""
        super().__init__()
        self.padding = padding
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The layer of the padded input."""
        return self.layer(F.pad(x, self.padding))


def pads(node: Node, kernel: tuple[int, ...], stride: list[int], dilation: list[int]) -> list[tuple[int, int]]:
    """Padding before and after every axis.

    Raises UserError for automatic padding with a stride, which depends on the input's size.
    """
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        if any(step != 1 for step in stride):
            raise node.refuse(f"{mode} padding with a stride depends on the input's size; export with explicit pads")
        whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        less, more = [each // 2 for each in whole], [each - each // 2 for each in whole]
        return list(zip(less, more, strict=True) if mode == "SAME_UPPER" else zip(more, less, strict=True))
    given = list(node.attributes.get("pads", [0] * 2 * len(kernel)))
    return (
        [(0, 0)] * len(kernel)
        if mode == "VALID"
        else list(zip(given[: len(kernel)], given[len(kernel) :], strict=True))
    )


def convolution(node: Node, constants: Constants) -> Made | None:
    """Conv."""
    found = _weights(node, constants)
    if found is None:
        return None
    weight, bias = found
    kernel = tuple(weight.shape[2:])
    _check_axes(node, kernel)
    stride, dilation = (list(node.attributes.get(key, [1] * len(kernel))) for key in ("strides", "dilations"))
    around = pads(node, kernel, stride, dilation)
    even = all(before == after for before, after in around)
    groups = int(node.attributes.get("group", 1))
    layer = CONVOLUTIONS[len(kernel) - 1](
        weight.shape[1] * groups,
        weight.shape[0],
        kernel,  # type: ignore[arg-type]
        tuple(stride),  # type: ignore[arg-type]
        tuple(before for before, _ in around) if even else 0,  # type: ignore[arg-type]
        tuple(dilation),  # type: ignore[arg-type]
        groups,
        device="meta",
    )
    made = _fill(layer, weight, bias)
    if not even:
        made = Surrounded([side for pair in reversed(around) for side in pair], made)
    return made, node.inputs[:1]


def transposed(node: Node, constants: Constants) -> Made | None:
    """ConvTranspose."""
    found = _weights(node, constants)
    if found is None:
        return None
    weight, bias = found
    kernel = tuple(weight.shape[2:])
    _check_axes(node, kernel)
    if "output_shape" in node.attributes or node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise node.refuse("output_shape and auto_pad are not supported; export with explicit pads")
    stride, dilation = (list(node.attributes.get(key, [1] * len(kernel))) for key in ("strides", "dilations"))
    more = list(node.attributes.get("output_padding", [0] * len(kernel)))
    around = pads(node, kernel, stride, dilation)
    groups = int(node.attributes.get("group", 1))
    # A cut that is smaller on the far side is torch's output padding.
    more = [extra + before - after for extra, (before, after) in zip(more, around, strict=True)]
    if any(not 0 <= extra < max(s, d) for extra, s, d in zip(more, stride, dilation, strict=True)):
        raise node.refuse(f"pads {around} differ from side to side by more than its strides, which torch does not have")
    layer = TRANSPOSED[len(kernel) - 1](
        weight.shape[0],
        weight.shape[1] * groups,
        kernel,  # type: ignore[arg-type]
        tuple(stride),  # type: ignore[arg-type]
        tuple(before for before, _ in around),  # type: ignore[arg-type]
        tuple(more),  # type: ignore[arg-type]
        groups,
        dilation=tuple(dilation),  # type: ignore[arg-type]
        device="meta",
    )
    return _fill(layer, weight, bias), node.inputs[:1]


def _check_axes(node: Node, kernel: tuple[int, ...]) -> None:
    if not 1 <= len(kernel) <= 3:
        raise node.refuse(f"its kernel moves along {len(kernel)} axes; 1, 2 or 3 are supported")


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Module:
    """weight: (out, in)."""
    return _fill(nn.Linear(weight.shape[1], weight.shape[0], device="meta"), weight.contiguous(), bias)


def gemm(node: Node, constants: Constants) -> Made | None:
    """Gemm with a constant matrix, as a linear layer; factors are worked into its weight and bias."""
    found = _weights(node, constants)
    if found is None or node.attributes.get("transA", 0):
        return None
    weight, bias = found
    weight = weight if node.attributes.get("transB", 0) else weight.t()
    alpha, beta = (float(node.attributes.get(key, 1.0)) for key in ("alpha", "beta"))
    if bias is not None:
        if bias.numel() not in (1, weight.shape[0]):
            return None
        bias = (bias.flatten() * beta).expand(weight.shape[0]).clone()
    return _linear(weight * alpha, bias), node.inputs[:1]


def matmul(node: Node, constants: Constants) -> Made | None:
    """MatMul by a constant matrix, as a linear layer."""
    weight = _known(node, constants, 1)
    if weight is None or weight.dim() != 2 or node.inputs[0] in constants:
        return None
    return _linear(weight.t(), None), node.inputs[:1]


class Normalised(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the second axis of an input with any number of axes."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Nothing to check: the graph does not say how many axes there are."""


def batch_norm(node: Node, constants: Constants) -> Made | None:
    """BatchNormalization in inference, as torch's own module for images and vectors of images."""
    if node.attributes.get("training_mode", 0):
        raise node.refuse("training_mode is not supported; export the network in evaluation mode")
    statistics = [_known(node, constants, at) for at in range(1, 5)]
    if any(value is None for value in statistics):
        return None
    scale, shift, mean, variance = (value.float().clone() for value in statistics if value is not None)
    layer = Normalised(len(scale), float(node.attributes.get("epsilon", 1e-5)))
    layer.weight, layer.bias = nn.Parameter(scale), nn.Parameter(shift)
    layer.running_mean, layer.running_var = mean, variance
    return layer, node.inputs[:1]


def embedding(node: Node, constants: Constants) -> Made | None:
    """Gather of the rows of a constant table of floats."""
    table = constants.get(node.inputs[0])
    if table is None or not table.is_floating_point() or table.dim() != 2 or node.inputs[1] in constants:
        return None
    if node.attributes.get("axis", 0) != 0:
        return None
    return nn.Embedding.from_pretrained(table.float(), freeze=False), node.inputs[1:2]


LAYERS: dict[str, Callable[[Node, Constants], Made | None]] = {
    "Conv": convolution,
    "ConvTranspose": transposed,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_norm,
    "Gather": embedding,
}
"""Operator → the layer that it becomes with constant weights; None: it becomes a function (`operators`)."""
