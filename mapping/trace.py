"""What a network does with one example input: which layers run, how often, and what arrays can take over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hwmodels.errors import UserError
from mapping.lowering import Geometry, geometry, why_not_mappable

Inputs = Tensor | tuple[Tensor, ...]
"""What a network is called with; the first axis of the first tensor is the batch."""


@dataclass(kw_only=True)
class TracedLayer:
    """A layer that arrays can compute: its module, its geometry, and its input vectors per inference."""

    name: str
    module: nn.Module
    geometry: Geometry
    vectors: int = 0

    def positions(self, batch: int) -> int:
        """Input vectors per inference, over all calls of the layer."""
        return self.vectors // batch


@dataclass(frozen=True, kw_only=True)
class DigitalLayer:
    """A layer that stays digital, and why."""

    module: str
    type: str
    reason: str


@dataclass(kw_only=True)
class Trace:
    """Mappable layers in the order of their first call, the digital rest, and the multiply-accumulates of both.

    macs_total counts every convolution and matrix product of one inference, also those written as functions in
    `forward` (torch's own flop counter), so that nothing is silently left out.
    """

    layers: list[TracedLayer] = field(default_factory=list)
    digital: list[DigitalLayer] = field(default_factory=list)
    macs_total: int = 0


def as_tuple(example_input: Inputs) -> tuple[Tensor, ...]:
    """The inputs of one call as a tuple; a single tensor stands for itself.

    Raises UserError for anything but tensors with a batch of at least one sample and finite values.
    """
    inputs = (example_input,) if isinstance(example_input, Tensor) else example_input
    if not isinstance(inputs, tuple) or not inputs or not all(isinstance(item, Tensor) for item in inputs):
        raise UserError(f"The example input is a tensor or a tuple of tensors, not a {type(example_input).__name__}.")
    if inputs[0].dim() == 0 or inputs[0].shape[0] == 0:
        raise UserError(f"The example input of shape {tuple(inputs[0].shape)} has no samples; give at least one.")
    for item in inputs:
        if item.is_floating_point() and not bool(torch.isfinite(item).all()):
            raise UserError("The example input holds NaN or infinite values; ranges cannot be calibrated on it.")
    return inputs


def first_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The input of a layer that takes one, however it was passed."""
    return args[0] if args else next(iter(kwargs.values()))


@contextmanager
def quiet_eval(model: nn.Module) -> Iterator[None]:
    """Run a model in evaluation mode without gradients, and put every module's mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def trace(model: nn.Module, example_input: Inputs) -> Trace:
    """Run the model once and note what its layers do.

    Raises UserError when the model does not run on the example input, or when no layer of it can be mapped.
    """
    inputs = as_tuple(example_input)
    result = Trace()
    seen: dict[str, TracedLayer] = {}
    handles = []
    for name, module in model.named_modules():
        if why_not_mappable(module) is None:
            handles.append(module.register_forward_pre_hook(_recorder(name, seen), with_kwargs=True))
    counter = FlopCounterMode(display=False)
    try:
        with quiet_eval(model), counter:
            model(*inputs)
    except UserError:
        raise
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise UserError(f"The network does not run on the example input of shape {shapes}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    batch = inputs[0].shape[0]
    result.macs_total = counter.get_total_flops() // (2 * batch)
    _sort_out(model, seen, result)
    return result


def _recorder(name: str, seen: dict[str, TracedLayer]) -> Any:
    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        layer = seen.setdefault(name, TracedLayer(name=name, module=module, geometry=geometry(module)))
        x = first_input(args, kwargs)
        if x.dim() < layer.geometry.batched_dims:
            raise UserError(
                f"Layer {name!r} gets an input of shape {tuple(x.shape)} without a batch axis; "
                "give the example a first axis that counts samples."
            )
        layer.vectors += layer.geometry.vector_count(x)

    return record


def _sort_out(model: nn.Module, seen: dict[str, TracedLayer], result: Trace) -> None:
    """Split the modules into those on arrays (in call order) and the digital rest with a reason each.

    Containers count only where they hold weights of their own (attention's input projection, for one).
    """
    result.layers = list(seen.values())
    for name, module in model.named_modules():
        container = any(True for _ in module.children())
        if name in seen or (container and not any(True for _ in module.parameters(recurse=False))):
            continue
        reason = why_not_mappable(module) or "its weights are used without calling the module"
        result.digital.append(DigitalLayer(module=name, type=type(module).__name__, reason=reason))
    if not result.layers:
        kinds = sorted({type(m).__name__ for m in model.modules()})
        raise UserError(
            "No layer of the network can be placed on crossbars; Conv2d and Linear layers can. "
            f"It holds: {', '.join(kinds)}."
        )
