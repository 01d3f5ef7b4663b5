"""What a network does with one example input: which layers run, how often, and what arrays can take over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from hwmodels.errors import UserError
from mapping.counting import Work, WorkCounter
from mapping.inputs import Arguments, Inputs, first_input, quiet_eval
from mapping.lowering import Geometry, geometry, why_not_mappable
from mapping.rewriting import digital_rest

NEVER_CALLED = "the example input never calls it"
"""Why a layer that arrays could compute stands on none; calling it after all is an error, not a digital product."""
COMPUTED = "computed in its forward"
"""Why a module without weights of its own is digital: it computes between the layers that it holds."""


@dataclass(kw_only=True)
class TracedLayer:
    """A layer that arrays can compute: its module, its geometry, and its input vectors per inference."""

    name: str
    module: nn.Module
    geometry: Geometry
    vectors: int = 0

    def positions(self, batch: int) -> int:
        """Input vectors per inference, over all calls of the layer; rounded up."""
        return -(-self.vectors // batch)


@dataclass(frozen=True, kw_only=True)
class DigitalLayer:
    """A module that computes digitally, why, and what: per inference, multiply-accumulates and elements by operation.

    operations: by torch's names, in elements of the largest operand; making and moving data is not counted.
    """

    module: str
    type: str
    reason: str
    macs: int = 0
    operations: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class Trace:
    """Mappable layers in the order of their first call, the digital rest, and the multiply-accumulates of both.

    macs_total counts every convolution and matrix product of one inference, also those written as functions in
    `forward` (by torch's own flop formulas), so that nothing is silently left out; macs_digital: those outside the
    mappable layers.
    """

    layers: list[TracedLayer] = field(default_factory=list)
    digital: list[DigitalLayer] = field(default_factory=list)
    macs_total: int = 0
    macs_digital: int = 0


def trace(model: nn.Module, example_input: Inputs, *, batch_axis: int = 0) -> Trace:
    """Run the model once and note what its layers do.

    batch_axis: the axis of the example's first tensor that counts samples.
    Raises UserError when the model does not run on the example input, or when no layer of it can be mapped.
    """
    example = Arguments.of(example_input)
    batch = example.batch(batch_axis)
    seen: dict[str, TracedLayer] = {}
    refused: dict[str, str] = {}
    mappable = {name for name, module in model.named_modules() if why_not_mappable(module) is None}
    counter = WorkCounter(model, mappable)
    handles = list(counter.hooks(model))
    for name, module in model.named_modules():
        if name in mappable:
            handles.append(module.register_forward_pre_hook(_recorder(name, seen, refused), with_kwargs=True))
    try:
        with quiet_eval(model), counter:
            example.call(model)
    except UserError:
        raise
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in example.tensors)
        raise UserError(f"The network does not run on the example input of shape {shapes}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    if refused:
        name, reason = next(iter(refused.items()))
        raise UserError(f"Layer {name!r} {reason}.")
    result = Trace(layers=list(seen.values()), macs_digital=counter.macs_digital // batch)
    result.macs_total = (counter.macs_mapped + counter.macs_digital) // batch
    result.digital = _digital(model, seen, counter, batch)
    if not result.layers:
        raise _nothing_to_place(model)
    return result


def _recorder(name: str, seen: dict[str, TracedLayer], refused: dict[str, str]) -> Callable[..., None]:
    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        layer = seen.setdefault(name, TracedLayer(name=name, module=module, geometry=geometry(module)))
        if len(args) + len(kwargs) != 1:
            refused[name] = (
                "is called with an output_size, which arrays do not know; give the layer its output_padding instead"
            )
        x = first_input(args, kwargs)
        if x.dim() < layer.geometry.batched_dims:
            raise UserError(
                f"Layer {name!r} gets an input of shape {tuple(x.shape)} without a batch axis; "
                "give the example a first axis that counts samples."
            )
        layer.vectors += layer.geometry.vector_count(x)

    return record


def _digital(model: nn.Module, seen: dict[str, TracedLayer], counter: WorkCounter, batch: int) -> list[DigitalLayer]:
    """The digital rest with a reason and its work each.

    A container counts only where it holds weights of its own or computes something in its forward.
    """
    found = []
    for name, module in model.named_modules():
        container = any(True for _ in module.children())
        holds = any(True for _ in module.parameters(recurse=False))
        if name in seen or (container and not holds and name not in counter.work):
            continue
        work = counter.work.get(name, Work())
        found.append(
            DigitalLayer(
                module=name,
                type=type(module).__name__,
                reason=_reason(name, module, container and not holds, counter, batch),
                macs=work.macs // batch,
                operations={key: -(-value // batch) for key, value in sorted(work.operations.items())},
            )
        )
    return found


def _reason(name: str, module: nn.Module, bare_container: bool, counter: WorkCounter, batch: int) -> str:
    """Why a module computes digitally; weights that a function reads past their module are named with their share."""
    prefix = f"{name}." if name else ""
    own = [f"{prefix}{key}" for key, _ in module.named_parameters(recurse=False)]
    read = {key: counter.direct[key] // batch for key in own if key in counter.direct}
    if read:
        whole = (counter.macs_mapped + counter.macs_digital) // batch
        told = ", ".join(f"{key!r} ({macs / whole:.1%} of all multiply-accumulates)" for key, macs in read.items())
        why = why_not_mappable(module) or "its weights are used without calling the module"
        return f"{why}; a function multiplies by {told}"
    if bare_container:
        rest = digital_rest(module)
        return f"{COMPUTED}: {rest}" if rest else COMPUTED
    if own and any(True for _ in module.children()):
        return f"{COMPUTED}, with its own {', '.join(map(repr, own))}"
    return why_not_mappable(module) or NEVER_CALLED


def _nothing_to_place(model: nn.Module) -> UserError:
    kinds: dict[str, str] = {}
    for name, module in model.named_modules():
        if not any(True for _ in module.children()):
            kinds.setdefault(type(module).__name__, name)
    held = ", ".join(f"{kind} ({name!r})" if name else kind for kind, name in sorted(kinds.items()))
    return UserError(
        "No layer of the network can be placed on crossbars; convolutions (also transposed ones), linear layers, "
        f"recurrent layers and multi-head attention can, if the example input calls them. It holds: {held}."
    )
