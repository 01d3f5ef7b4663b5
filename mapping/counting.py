"""What a network computes beside its layers on arrays, counted operation by operation while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

MOVES = frozenset(
    (
        *("arange", "empty", "empty_like", "empty_strided", "eye", "fill", "full", "full_like", "lift_fresh"),
        *("new_empty", "new_full", "new_ones", "new_zeros", "ones", "ones_like", "scalar_tensor", "zero", "zeros"),
        *("cat", "clone", "constant_pad_nd", "copy", "detach", "flip", "gather", "im2col", "index", "index_select"),
        *("repeat", "roll", "slice_scatter", "stack", "to_copy", "tril", "triu", "unsafe_view", "zeros_like"),
    )
)
"""Operations of torch that make or move data and compute nothing."""


@dataclass
class Work:
    """What one module computes by itself: multiply-accumulates, and elements by operation (torch's own names)."""

    macs: int = 0
    operations: Counter[str] = field(default_factory=Counter)


class WorkCounter(TorchDispatchMode):
    """Counts a run of a network: per module, and apart from it within the layers named in `mapped`.

    Multiply-accumulates are half of what torch's flop formulas say of convolutions, matrix products and fused
    attention. Of every other operation that computes something the elements of its largest operand are counted; making,
    moving and viewing data is not. direct: parameter → multiply-accumulates of products that read it outside the layers
    on arrays, that is, by a function and not by calling the layer that holds it.
    """

    def __init__(self, network: nn.Module, mapped: set[str]) -> None:
        """Prepare to count; `hooked` must be entered before the run."""
        super().__init__()
        self.work: dict[str, Work] = {}
        self.macs_mapped = 0
        self.direct: Counter[str] = Counter()
        self._mapped = mapped
        self._stack: list[str] = []
        self._parameters = {p.untyped_storage().data_ptr(): name for name, p in network.named_parameters()}

    def hooks(self, network: nn.Module) -> Iterator[Any]:
        """Register the hooks that tell where a run is; yields their handles."""

        def enter(name: str) -> Callable[..., None]:
            return lambda module, args: self._stack.append(name)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            self._stack.pop()

        for name, module in network.named_modules():
            yield module.register_forward_pre_hook(enter(name))
            yield module.register_forward_hook(leave)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count one operation and run it."""
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in _FORMULAS and func is not torch.ops.prim.device.default:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        inside = bool(self._stack) and self._stack[-1] in self._mapped
        if packet in _FORMULAS:
            self._count_product(int(_FORMULAS[packet](*args, **kwargs, out_val=out)) // 2, args, inside)
        elif not inside and not func.is_view and packet.__name__.strip("_") not in MOVES and _tensors(out):
            elements = max(each.numel() for each in _tensors((args, kwargs, out)))
            self._here().operations[packet.__name__.strip("_")] += elements
        return out

    def _here(self) -> Work:
        return self.work.setdefault(self._stack[-1] if self._stack else "", Work())

    def _count_product(self, macs: int, args: Any, inside: bool) -> None:
        if inside:
            self.macs_mapped += macs
            return
        self._here().macs += macs
        for each in _tensors(args):
            name = self._parameters.get(each.untyped_storage().data_ptr())
            if name is not None:
                self.direct[name] += macs

    @property
    def macs_digital(self) -> int:
        """Multiply-accumulates outside the mapped layers."""
        return sum(work.macs for work in self.work.values())


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _formulas() -> dict[Any, Callable[..., Any]]:
    """torch's own flop formulas, and the fused attention of the CPU, which it does not list."""
    aten = torch.ops.aten
    fused = flop_registry[aten._scaled_dot_product_flash_attention]

    def attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, out_val: Any, **kwargs: Any) -> int:
        return fused(query, key, value, out_val=out_val)

    return {**flop_registry, aten._scaled_dot_product_flash_attention_for_cpu: attention}


_FORMULAS = _formulas()
