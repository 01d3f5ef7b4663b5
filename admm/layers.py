"""A plan meets a model: which module each entry means, and whether it can be compressed at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from admm.constraints import Levels, Prune, nested_mask
from admm.plan import LayerPlan, Plan
from hwmodels.errors import UserError, unknown

KINDS = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Modules whose weight is a matrix (out, in / groups, *kernel) as `crossbar.tiling` lowers it."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One planned module of a model."""

    name: str
    module: nn.Module
    prune: tuple[Prune, ...]
    levels: Levels | None

    @property
    def weight(self) -> nn.Parameter:
        """The weight (out, in / groups, *kernel)."""
        weight = self.module.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    @property
    def groups(self) -> int:
        """Groups of a grouped convolution, else 1."""
        return int(getattr(self.module, "groups", 1))

    def mask(self, w: Tensor) -> Tensor:
        """What the layer's pruning sets keep of a tensor, one set after the other."""
        return nested_mask(w, self.prune, self.groups)

    def plan(self) -> LayerPlan:
        """The layer's entry under its own name, no pattern."""
        return LayerPlan(name=self.name, prune=self.prune, levels=self.levels)


def resolve(plan: Plan, model: nn.Module) -> dict[str, Layer]:
    """The planned layers of a model by module name, in the model's order; entries without constraints left out.

    Raises UserError, naming the layer and the way out, when a pattern matches nothing, a named module is no
    convolution or linear layer, a count exceeds its groups, or a weight is shared, frozen, parametrised, not
    initialised, of a type that holds no float32, or not finite.
    """
    modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if _is_layer(module)}
    chosen = _matched(plan, model, modules)
    layers = {
        name: Layer(name, modules[name], entry.prune, entry.levels)
        for name, entry in chosen.items()
        if entry.prune or entry.levels
    }
    if not layers:
        raise UserError("The plan leaves every layer of the model alone. Give a layer a pruning set or levels.")
    for name, layer in layers.items():
        _check_weight(layer)
        _check_counts(layer)
        _check_shared(name, layer.weight, model)
    return layers


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, KINDS)


def _matched(plan: Plan, model: nn.Module, modules: dict[str, nn.Module]) -> dict[str, LayerPlan]:
    """The entry of every layer: an exact name first, then the first glob."""
    exact = {entry.name: entry for entry in plan.layers if entry.name in modules}
    chosen = {}
    for name in modules:
        globs = (entry for entry in plan.layers if fnmatchcase(name, entry.name))
        entry = exact.get(name) or next(globs, None)
        if entry is not None:
            chosen[name] = entry
    used = {entry.name for entry in chosen.values()}
    for entry in plan.layers:
        if entry.name not in used and entry.name != "*":
            raise _unmatched(entry.name, model, modules)
    return chosen


def _unmatched(name: str, model: nn.Module, modules: dict[str, nn.Module]) -> UserError:
    taken = [layer for layer in modules if fnmatchcase(layer, name)]
    if taken:
        return UserError(
            f"Layer pattern {name!r} has nothing left: earlier or exact entries took {', '.join(map(repr, taken))}. "
            "Put narrow patterns before wide ones."
        )
    others = dict(model.named_modules())
    if name in others and name:
        return UserError(
            f"Layer {name!r} is a {type(others[name]).__name__}, which has no weight matrix to compress; "
            f"plan one of: {', '.join(modules)}."
        )
    return unknown("layer", name, modules)


def _check_weight(layer: Layer) -> None:
    weight = layer.module._parameters.get("weight")
    problems: list[tuple[Callable[[Tensor], bool], str]] = [
        (
            lambda w: isinstance(w, nn.parameter.UninitializedParameter),
            "is not initialised yet: run one batch through the model first",
        ),
        (
            lambda w: not w.requires_grad,
            "is frozen: call requires_grad_(True) on its weight, or leave it out of the plan",
        ),
        (
            lambda w: w.dtype not in (torch.float32, torch.float64),
            "holds its weights in a type that cannot represent float32 levels: call model.float()",
        ),
        (
            lambda w: not bool(torch.isfinite(w).all()),
            "has weights that are NaN or infinite: load other weights or train it again",
        ),
    ]
    if weight is None:
        raise UserError(
            f"Layer {layer.name!r} computes its weight (a parametrization or weight norm): "
            "remove that first, for example by torch.nn.utils.parametrize.remove_parametrizations."
        )
    for is_wrong, message in problems:
        if is_wrong(weight):
            raise UserError(f"Layer {layer.name!r} {message}.")


def _check_counts(layer: Layer) -> None:
    for constraint in layer.prune:
        try:
            constraint.count(layer.weight.shape, layer.groups)
        except UserError as error:
            raise UserError(f"Layer {layer.name!r}: {error}") from None


def _check_shared(name: str, weight: nn.Parameter, model: nn.Module) -> None:
    for other, parameter in model.named_parameters(remove_duplicate=False):
        if isinstance(parameter, nn.parameter.UninitializedParameter) or other == f"{name}.weight":
            continue
        if parameter is weight or parameter.data_ptr() == weight.data_ptr():
            raise UserError(
                f"Layer {name!r} shares its weight with {other!r}: a placed weight stands in one place. "
                "Untie them (copy the module or its weight), or leave the layer out of the plan."
            )
