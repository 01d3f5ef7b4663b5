"""Which channels of a network carry nothing: constants followed forward, needs followed backward, through its graph.

A channel of an activation is *constant* when it has the same value for every input and at every position; it is
*needed* when somebody reads it. Both are known by proof only: through convolutions and linear layers, through
operations that treat every channel by itself (normalisation in evaluation mode, activations, pooling, flattening) and
through sums; whatever else a network computes makes its inputs needed and its outputs unknown.

Compression and mapping both free what this proves to be unused (`crossbar.unused`), so it stands where both reach it.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from hwmodels.errors import UserError

KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Modules whose weight is a matrix (out, in / groups, *kernel) as `crossbar.tiling` lowers it."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MODULES = (
    *NORMS, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish,
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d,
)  # fmt: skip
_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    functional.relu, torch.relu, torch.tanh, torch.sigmoid, functional.relu6, functional.leaky_relu, functional.gelu,
    functional.silu, functional.hardtanh, functional.hardswish, functional.dropout, functional.max_pool1d,
    functional.max_pool2d, functional.avg_pool1d, functional.avg_pool2d, functional.adaptive_avg_pool1d,
    functional.adaptive_avg_pool2d,
)  # fmt: skip
_METHODS = ("relu", "tanh", "sigmoid", "contiguous")
_SUMS = (operator.add, operator.iadd, torch.add)
_FLAT = (torch.flatten, "flatten", "view", "reshape")
UNIFORM = 1e-6
"""Relative spread below which a pooled constant is the same at all positions (means of equal numbers round)."""


class Paths:
    """The graph of a model for inputs like the example; the model's weights are read anew at every call.

    model: traceable by torch.fx. example: one batch of inputs, a tensor or a tuple of them. opaque: module types that
    are not looked into. Raises UserError for a model that is not traceable, or that does not run on the example.
    """

    def __init__(
        self, model: nn.Module, example: Tensor | tuple[Tensor, ...], opaque: tuple[type[nn.Module], ...] = ()
    ) -> None:
        self.model = model.eval()
        try:
            self.traced = fx.GraphModule(model, _Tracer(opaque).trace(model))
            with torch.no_grad():
                ShapeProp(self.traced).propagate(*(example if isinstance(example, tuple) else (example,)))
        except Exception as error:  # tracing runs the user's code, which may raise anything
            raise UserError(
                f"The paths of this network cannot be followed ({error}). That needs a forward without control flow "
                "that depends on data."
            ) from error
        self.nodes = list(self.traced.graph.nodes)
        self.modules = dict(self.traced.named_modules())
        calls = [str(node.target) for node in self.nodes if node.op == "call_module"]
        self.layers = {
            str(node.target): node
            for node in self.nodes
            if self._is(node, KINDS) and calls.count(str(node.target)) == 1 and self._plain(node)
        }
        """Convolutions and linear layers that run exactly once, by module name, in the order of the graph."""

    def module(self, name: str) -> nn.Module:
        """The module of that name."""
        return self.modules[name]

    def norm_after(self, name: str) -> nn.Module | None:
        """The normalisation that alone reads a layer's output, if it has scales and shifts and runs once."""
        found = self.sole_norm(name)
        module = None if found is None else self.modules[found]
        return module if module is not None and module.weight is not None else None

    def sole_norm(self, name: str) -> str | None:
        """Name of the batch normalisation that alone reads a layer's output, if it runs once."""
        users = list(self.layers[name].users)
        if len(users) != 1 or not self._is(users[0], NORMS):
            return None
        same = [node for node in self.nodes if node.op == "call_module" and node.target == users[0].target]
        return str(users[0].target) if len(same) == 1 else None

    @torch.no_grad()
    def constants(self) -> dict[fx.Node, Tensor]:
        """Node → float64 (channels,): the value of each constant channel, NaN for the others."""
        found: dict[fx.Node, Tensor] = {}
        for node in self.nodes:
            count = _channels(node)
            if count:
                value = self._constant(node, found)
                found[node] = torch.full((count,), math.nan, dtype=torch.float64) if value is None else value
        return found

    def inputs_of(self, name: str, constants: dict[fx.Node, Tensor]) -> Tensor:
        """float64 (input channels,): the constants that a layer reads, NaN where it reads none."""
        return constants[cast(fx.Node, self.layers[name].args[0])]

    def behind_norm(self, name: str, constants: dict[fx.Node, Tensor]) -> Tensor:
        """float64 (filters,): what a layer's constant outputs are behind its normalisation, if it has one."""
        node = self.layers[name]
        return constants[next(iter(node.users)) if self.norm_after(name) is not None else node]

    @torch.no_grad()
    def needed(self) -> dict[str, Tensor]:
        """Layer → bool (filters,): whether anybody reads the filter's output."""
        needs: dict[fx.Node, Tensor] = {}
        for node in reversed(self.nodes):
            count = _channels(node)
            if count:
                read = [self._reads(user, node, needs, count) for user in node.users]
                needs[node] = torch.stack(read).any(0) if read else torch.zeros(count, dtype=torch.bool)
        return {name: needs[node] for name, node in self.layers.items()}

    def feeds(self) -> dict[str, str]:
        """Layer → the one layer whose filters it reads, where nobody else reads them.

        Between the two stand only operations that treat channels alike and flattening, and neither has groups. Then the
        rows of the reader's matrix fall into equal stretches, one for every filter of the other, in order, and a filter
        and its stretch can only be of use together.
        """
        named = {node: name for name, node in self.layers.items()}
        found = {}
        for name, node in self.layers.items():
            source, readers = node.args[0], [node]
            while isinstance(source, fx.Node) and list(source.users) == readers and source not in named:
                if not (self._channelwise(source) or self._flattens(source)):
                    break
                source, readers = source.args[0], [source]
            if not isinstance(source, fx.Node) or source not in named or list(source.users) != readers:
                continue
            if all(getattr(self.modules[str(each.target)], "groups", 1) == 1 for each in (node, source)):
                found[name] = named[source]
        return found

    def _is(self, node: fx.Node, kinds: tuple[type, ...]) -> bool:
        return node.op == "call_module" and isinstance(self.modules[str(node.target)], kinds)

    def _plain(self, node: fx.Node) -> bool:
        """Whether a layer reads a batch with channels second, as its weight's shape says."""
        source = node.args[0] if node.args else None
        weight = cast(Tensor, self.modules[str(node.target)].weight)
        read = [str(each.target) for each in self.nodes if each.op == "get_attr"]
        if any(target.startswith(f"{node.target}.") for target in read):
            return False  # the weight is also used by other means
        return isinstance(source, fx.Node) and len(_shape(source)) == weight.ndim

    def _flattens(self, node: fx.Node) -> bool:
        """Whether a node makes (batch, channels, …) to (batch, channels · …)."""
        named = self._is(node, (nn.Flatten,)) or (node.op.startswith("call") and node.target in _FLAT)
        if not named or not node.args or not isinstance(node.args[0], fx.Node):
            return False
        before, after = _shape(node.args[0]), _shape(node)
        return len(after) == 2 and before[0] == after[0] and math.prod(before[1:]) == after[1]

    def _channelwise(self, node: fx.Node) -> bool:
        if (
            not node.args
            or not isinstance(node.args[0], fx.Node)
            or any(isinstance(each, fx.Node) for each in [*node.args[1:], *node.kwargs.values()])
        ):
            return False
        kind = (
            self._is(node, _MODULES)
            or (node.op == "call_function" and node.target in _FUNCTIONS)
            or (node.op == "call_method" and node.target in _METHODS)
        )
        before, after = _shape(node.args[0]), _shape(node)
        axes = self._pooled_axes(node)
        batched = axes is None or len(before) == axes + 2  # without a batch pooling takes the channels for one
        return kind and batched and len(before) == len(after) >= 2 and before[:2] == after[:2]

    def _pooled_axes(self, node: fx.Node) -> int | None:
        """How many axes a pooling slides over; None for any other operation."""
        named = type(self.modules[str(node.target)]) if node.op == "call_module" else node.target
        found = re.search(r"pool([123])d$", getattr(named, "__name__", str(named)), re.IGNORECASE)
        return int(found[1]) if found else None

    def _sums(self, node: fx.Node) -> bool:
        """Whether a node adds two activations of one shape."""
        if node.op != "call_function" or node.target not in _SUMS or len(node.args) != 2 or node.kwargs:
            return False
        return all(isinstance(each, fx.Node) and _shape(each) == _shape(node) for each in node.args)

    def _constant(self, node: fx.Node, known: dict[fx.Node, Tensor]) -> Tensor | None:
        """The constants that a node puts out; None: nothing is known."""
        if str(node.target) in self.layers and node.op == "call_module":
            return _of_layer(self.modules[str(node.target)], known[cast(fx.Node, node.args[0])])
        if self._sums(node):
            a, b = (known[cast(fx.Node, each)] for each in node.args)
            return a + b
        if self._flattens(node):
            source = cast(fx.Node, node.args[0])
            return known[source].repeat_interleave(_shape(node)[1] // _shape(source)[1])
        if self._channelwise(node):
            return self._run(node, known[cast(fx.Node, node.args[0])])
        return None

    def _run(self, node: fx.Node, constant: Tensor) -> Tensor:
        """The constants behind an operation that treats channels alike: by running it on them."""
        source = cast(fx.Node, node.args[0])
        shape = (1, *_shape(source)[1:])
        filled = (
            constant.nan_to_num()
            .to(source.meta["tensor_meta"].dtype)
            .reshape(1, -1, *[1] * (len(shape) - 2))
            .expand(shape)
        )
        filled = filled.to(_device(self.traced)).contiguous()
        if node.op == "call_module":
            out = self.modules[str(node.target)](filled, *node.args[1:], **node.kwargs)
        elif node.op == "call_method":
            out = getattr(filled, str(node.target))(*node.args[1:], **node.kwargs)
        else:
            out = cast(Callable[..., Tensor], node.target)(filled, *node.args[1:], **node.kwargs)
        flat = out.double().cpu().reshape(out.shape[1], -1)
        low, high = flat.min(1).values, flat.max(1).values
        uniform = (high - low) <= UNIFORM * torch.maximum(low.abs(), high.abs())
        return torch.where(uniform & ~constant.isnan(), flat[:, 0], math.nan)

    def _reads(self, user: fx.Node, node: fx.Node, needs: dict[fx.Node, Tensor], count: int) -> Tensor:
        """Which channels of a node one of its users reads."""
        if str(user.target) in self.layers and user.op == "call_module":
            return read_channels(self.modules[str(user.target)], needs[user])
        if self._sums(user) or self._channelwise(user):
            return needs[user]
        if self._flattens(user):
            return needs[user].reshape(count, -1).any(1)
        return torch.ones(count, dtype=torch.bool)


class _Tracer(fx.Tracer):
    """Symbolic tracing that does not look into modules of the given types."""

    def __init__(self, opaque: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.opaque = opaque

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self.opaque) or super().is_leaf_module(m, module_qualified_name)


def weight_by_input(module: nn.Module) -> Tensor:
    """The weight as (groups, filters of the group, input channels of the group, positions)."""
    weight, groups = cast(Tensor, module.weight).detach(), int(getattr(module, "groups", 1))
    return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)


def read_channels(module: nn.Module, filters: Tensor) -> Tensor:
    """bool (input channels,): those that the given filters have a weight for that is not zero."""
    w = weight_by_input(module)
    asked = filters.to(w.device).reshape(w.shape[0], -1, 1, 1)
    return ((w != 0) & asked).any(3).any(1).reshape(-1).cpu()


def keeps_constants(module: nn.Module) -> bool:
    """Whether a constant input channel adds a constant to the outputs: no zeros are padded at the edges."""
    if isinstance(module, nn.Linear):
        return True
    padding = module.padding
    none = padding == "valid" or (isinstance(padding, tuple) and not any(padding))
    return none or module.padding_mode != "zeros"


def added(module: nn.Module, constant: Tensor) -> Tensor:
    """float64 (filters, input channels): what constant input channels add to the outputs; 0 where unknown."""
    w = weight_by_input(module).double().sum(3).cpu()
    c = constant.nan_to_num().reshape(w.shape[0], 1, -1)
    each = w * c  # (groups, filters of the group, input channels of the group)
    return each.reshape(-1, w.shape[2])


def _of_layer(module: nn.Module, constant: Tensor) -> Tensor:
    """Constant outputs: filters whose live weights read constants only, and those at the edges as inside."""
    w = weight_by_input(module)
    live = (w != 0).any(3).cpu()
    fixed = ~constant.isnan() if keeps_constants(module) else constant == 0
    known = (~live | fixed.reshape(w.shape[0], 1, -1)).all(2).reshape(-1)
    bias = cast("Tensor | None", module.bias)
    value = added(module, constant).sum(1)
    if bias is not None:
        value = value + bias.detach().double().cpu()
    return torch.where(known, value, math.nan)


def _shape(node: fx.Node) -> tuple[int, ...]:
    meta = node.meta.get("tensor_meta")
    return tuple(meta.shape) if meta is not None and hasattr(meta, "shape") else ()


def _channels(node: Any) -> int:
    """Channels of a node that gives an activation (batch, channels, …), else 0."""
    shape = _shape(node) if isinstance(node, fx.Node) else ()
    return shape[1] if len(shape) >= 2 else 0


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
