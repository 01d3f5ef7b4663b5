"""ONNX operators without weights of their own, as functions of tensors: what stays digital."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mapping.onnx.layers import Node, pads

Operator = Callable[..., Any]
"""(node, *inputs) → output, or a tuple of outputs; an input that is left out is None."""

TYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
    10: torch.float16, 11: torch.float64,
}  # fmt: skip
"""ONNX data types by number."""


def _each(function: Callable[..., Tensor]) -> Operator:
    """An operator without attributes."""
    return lambda node, *inputs: function(*inputs)


def _variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def run(node: Node, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return run


def _given(node: Node, key: str, value: Tensor | None, default: Any = None) -> Any:
    """A list of whole numbers that older files hold as an attribute and newer ones as an input."""
    if value is not None:
        return value.flatten().tolist()
    return list(node.attributes[key]) if key in node.attributes else default


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _gelu(node: Node, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node.attributes.get("approximate", "none"))


def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    bounds = [value if value is not None else node.attributes.get(key) for value, key in ((low, "min"), (high, "max"))]
    return torch.clamp(x, *bounds)  # type: ignore[call-overload]


def _softmax(function: Callable[..., Tensor]) -> Operator:
    def run(node: Node, x: Tensor) -> Tensor:
        if node.attributes.get("_opset", 13) < 13:  # before: over all axes from this one on
            axis = node.attributes.get("axis", 1) % x.dim()
            return function(x.flatten(axis), dim=axis).view(x.shape)
        return function(x, dim=node.attributes.get("axis", -1))

    return run


def _pool(kind: str) -> Operator:
    largest = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
    mean = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}

    def run(node: Node, x: Tensor) -> Tensor:
        kernel = tuple(node.attributes["kernel_shape"])
        axes = len(kernel)
        stride, dilation = (list(node.attributes.get(key, [1] * axes)) for key in ("strides", "dilations"))
        around = [side for pair in reversed(pads(node, kernel, stride, dilation)) for side in pair]
        up = bool(node.attributes.get("ceil_mode", 0))
        if kind == "max":
            padded = F.pad(x, around, value=-torch.inf) if any(around) else x
            return largest[axes](padded, kernel, stride, dilation=dilation, ceil_mode=up)
        if any(step != 1 for step in dilation) or (up and any(around)):
            raise node.refuse("means with dilation, or with padding and ceil_mode, are not supported")
        whole = mean[axes](F.pad(x, around), kernel, stride, ceil_mode=up)
        if not any(around) or node.attributes.get("count_include_pad", 0):
            return whole
        return whole / mean[axes](F.pad(torch.ones_like(x), around), kernel, stride)

    return run


def _global_pool(function: Callable[..., Tensor]) -> Operator:
    return lambda node, x: function(x, dim=tuple(range(2, x.dim())), keepdim=True)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.attributes.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(-1 if axis else 1, x.shape[axis:].numel()) if x.numel() else x.flatten(1)


def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    sizes = shape.tolist()
    if not node.attributes.get("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(*node.attributes.get("perm", range(x.dim() - 1, -1, -1)))


def _squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _given(node, "axes", axes)
    return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))


def _unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _given(node, "axes", axes)
    rank = x.dim() + len(chosen)
    for axis in sorted(each % rank for each in chosen):
        x = x.unsqueeze(axis)
    return x


def _slice(node: Node, x: Tensor, *parts: Tensor | None) -> Tensor:
    given = dict(zip(("starts", "ends", "axes", "steps"), parts, strict=False))
    starts, ends, axes, steps = (_given(node, key, given.get(key)) for key in ("starts", "ends", "axes", "steps"))
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis, step = axes[i] if axes else i, steps[i] if steps else 1
        if step > 0:
            where = torch.arange(x.shape[axis])[slice(start, end, step)]
        else:
            where = torch.tensor(list(range(x.shape[axis]))[slice(start, end if end >= -x.shape[axis] else None, step)])
        x = x.index_select(axis, where.to(x.device))
    return x


def _split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, parts = node.attributes.get("axis", 0), _given(node, "split", sizes)
    if parts is None:
        parts = -(-x.shape[axis] // len(node.outputs))
    return torch.split(x, parts, dim=axis)


def _gather(node: Node, x: Tensor, index: Tensor) -> Tensor:
    axis = node.attributes.get("axis", 0) % x.dim()
    index = torch.where(index < 0, index + x.shape[axis], index)
    return x.index_select(axis, index.flatten()).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def run(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = _given(node, "axes", axes) or ([] if node.attributes.get("noop_with_empty_axes") else range(x.dim()))
        return function(x, dim=tuple(chosen), keepdim=bool(node.attributes.get("keepdims", 1))) if chosen else x

    return run


def _pad(node: Node, x: Tensor, sides: Tensor | None = None, value: Tensor | None = None, axes: Any = None) -> Tensor:
    given = _given(node, "pads", sides)
    chosen = [each % x.dim() for each in axes.tolist()] if axes is not None else list(range(x.dim()))
    around = [0] * (2 * x.dim())
    for i, axis in enumerate(chosen):
        at = 2 * (x.dim() - 1 - axis)
        around[at], around[at + 1] = given[i], given[i + len(chosen)]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    chosen_mode = mode[node.attributes.get("mode", "constant")]
    if chosen_mode == "constant":
        return F.pad(x, around, value=float(value if value is not None else node.attributes.get("value", 0.0)))
    while len(around) > 2 and around[-2:] == [0, 0] and len(around) > 2 * (x.dim() - 2):
        around = around[:-2]
    return F.pad(x, around, mode=chosen_mode)


def _layer_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = node.attributes.get("axis", -1) % x.dim()
    return F.layer_norm(x, x.shape[axis:], scale, bias, node.attributes.get("epsilon", 1e-5))


def _instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=node.attributes.get("epsilon", 1e-5))


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if node.attributes.get("transA", 0) else a
    b = b.t() if node.attributes.get("transB", 0) else b
    y = node.attributes.get("alpha", 1.0) * (a @ b)
    return y if c is None else y + node.attributes.get("beta", 1.0) * c


def _resize(node: Node, x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None) -> Tensor:
    mode = node.attributes.get("mode", "nearest")
    corner = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    plain = mode == "nearest" and corner == "asymmetric" and node.attributes.get("nearest_mode") == "floor"
    even = mode == "linear" and x.dim() == 4 and corner in ("half_pixel", "align_corners", "pytorch_half_pixel")
    if not plain and not even:
        raise node.refuse(f"mode {mode!r} with {corner!r} is not supported; nearest (asymmetric, floor) and linear are")
    if sizes is not None and sizes.numel():
        out = [int(each) for each in sizes.tolist()[2:]]
    else:
        out = [int(size * scale) for size, scale in zip(x.shape[2:], scales.tolist()[2:], strict=True)]
    if plain:
        return F.interpolate(x, out, mode="nearest")
    return F.interpolate(x, out, mode="bilinear", align_corners=corner == "align_corners")


def _shape(node: Node, x: Tensor) -> Tensor:
    return torch.tensor(x.shape)[node.attributes.get("start", 0) : node.attributes.get("end")]


def _constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    value = node.attributes.get("value", torch.zeros(1))
    return value.expand(tuple(shape.tolist())).clone()


def _expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    return x * torch.ones(shape.tolist(), dtype=x.dtype, device=x.device)


OPERATORS: dict[str, Operator] = {
    "Abs": _each(torch.abs),
    "Add": _each(torch.add),
    "And": _each(torch.logical_and),
    "AveragePool": _pool("mean"),
    "Cast": lambda node, x: x.to(TYPES[node.attributes["to"]]),
    "Clip": _clip,
    "Concat": lambda node, *inputs: torch.cat(inputs, dim=node.attributes["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Cos": _each(torch.cos),
    "Div": _each(_divide),
    "Dropout": lambda node, x, *others: x,
    "Elu": lambda node, x: F.elu(x, node.attributes.get("alpha", 1.0)),
    "Equal": _each(torch.eq),
    "Erf": _each(torch.erf),
    "Exp": _each(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool(torch.mean),
    "GlobalMaxPool": _global_pool(torch.amax),
    "Greater": _each(torch.gt),
    "GreaterOrEqual": _each(torch.ge),
    "HardSigmoid": lambda node, x: torch.clamp(
        node.attributes.get("alpha", 0.2) * x + node.attributes.get("beta", 0.5), 0, 1
    ),
    "HardSwish": lambda node, x: F.hardswish(x),
    "Identity": lambda node, x: x,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda node, x: F.leaky_relu(x, node.attributes.get("alpha", 0.01)),
    "Less": _each(torch.lt),
    "LessOrEqual": _each(torch.le),
    "Log": _each(torch.log),
    "LogSoftmax": _softmax(torch.log_softmax),
    "MatMul": _each(torch.matmul),
    "Max": _variadic(torch.maximum),
    "MaxPool": _pool("max"),
    "Min": _variadic(torch.minimum),
    "Mul": _each(torch.mul),
    "Neg": _each(torch.neg),
    "Not": _each(torch.logical_not),
    "Or": _each(torch.logical_or),
    "PRelu": lambda node, x, slope: torch.where(x < 0, slope * x, x),
    "Pad": _pad,
    "Pow": _each(torch.pow),
    "Reciprocal": _each(torch.reciprocal),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _each(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Selu": lambda node, x: F.selu(x),
    "Shape": _shape,
    "Sigmoid": _each(torch.sigmoid),
    "Sin": _each(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax(torch.softmax),
    "Softplus": lambda node, x: F.softplus(x),
    "Split": _split,
    "Sqrt": _each(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _each(torch.sub),
    "Sum": _variadic(torch.add),
    "Tanh": _each(torch.tanh),
    "Tile": lambda node, x, repeats: x.repeat(*repeats.tolist()),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _each(torch.where),
}
"""Operator → its function."""
