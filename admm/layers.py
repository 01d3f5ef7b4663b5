"""A plan meets a model: which module each entry means, and whether it can be compressed at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from admm.constraints import Budget, Joint, Pattern, Polarised, Prune, Shared, Solution, Values, nested_mask
from admm.constraints.levels import Scaled
from admm.plan import LayerLevels, LayerPlan, Plan
from hwmodels.errors import UserError, unknown

KINDS = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Modules whose weight is a matrix (out, in / groups, *kernel) as `crossbar.tiling` lowers it."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One planned module of a model. budgeted: it shares a pruning budget with others."""

    name: str
    module: nn.Module
    prune: tuple[Prune, ...]
    levels: Values | None
    joint: bool = False
    budgeted: bool = False

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

    @property
    def prunes(self) -> bool:
        """Whether anything prunes the layer."""
        return bool(self.prune) or self.budgeted

    @property
    def polarised(self) -> Polarised | None:
        """The layer's polarity, if it has one."""
        return next((c for c in self.prune if isinstance(c, Polarised)), None)

    def mask(self, w: Tensor, signs: Tensor | None = None) -> Tensor:
        """What the layer's own pruning sets keep of a tensor; signs: of fragments, if they stand already."""
        if self.joint:
            return Joint(self.prune, self.levels).solve(w, self.groups, signs).live
        return nested_mask(w, self.prune, self.groups, signs=signs)

    def signs(self, w: Tensor) -> Tensor | None:
        """int8 of the weight's shape: the best signs of the fragments for a tensor; None without polarity."""
        if self.polarised is None:
            return None
        if self.joint:
            return Joint(self.prune, self.levels).solve(w, self.groups).signs
        return self.polarised.signs(w, self.groups)

    def plan(self) -> LayerPlan:
        """The layer's entry under its own name, no pattern."""
        return LayerPlan(name=self.name, prune=self.prune, levels=self.levels, joint=self.joint)


def resolve(plan: Plan, model: nn.Module) -> dict[str, Layer]:
    """The planned layers of a model by module name, in the model's order; entries without constraints left out.

    Raises UserError, naming the layer and the way out, when a pattern matches nothing, a named module is no
    convolution or linear layer, a count exceeds its groups, or a weight is shared, frozen, parametrised, not
    initialised, of a type that holds no float32, or not finite.
    """
    modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if _is_layer(module)}
    chosen = _matched(plan.layers, model, modules)
    levels = _matched(plan.levels, model, modules)
    budgeted = {name for budget in _budgets(plan, model, modules) for name in budget.layers}
    layers = {}
    for name, module in modules.items():
        entry = chosen.get(name, LayerPlan(name=name))
        if name in levels:
            entry = replace(entry, levels=levels[name].levels)
        if entry.prune or entry.levels or name in budgeted:
            layers[name] = Layer(name, module, entry.prune, entry.levels, entry.joint, name in budgeted)
    if not layers:
        raise UserError("The plan leaves every layer of the model alone. Give a layer a pruning set or levels.")
    for name, layer in layers.items():
        _check_weight(layer)
        _check_sets(layer)
        _check_shared(name, layer.weight, model)
        layers[name] = replace(layer, prune=tuple(_with_library(c, layer) for c in layer.prune))
    return layers


def resolve_budgets(plan: Plan, model: nn.Module) -> tuple[Shared, ...]:
    """The plan's shared budgets with module names in the place of patterns.

    Raises UserError for a pattern that matches nothing and a budget that the layers' shapes cannot meet.
    """
    modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if _is_layer(module)}
    budgets = _budgets(plan, model, modules)
    for budget in budgets:
        weights = {name: modules[name].weight.detach() for name in budget.layers}  # type: ignore[union-attr]
        budget.masks(weights, {name: int(getattr(modules[name], "groups", 1)) for name in weights})
    return budgets


def masks_of(
    layers: Mapping[str, Layer],
    targets: Mapping[str, Tensor],
    signs: Mapping[str, Tensor],
    budgets: tuple[Shared, ...] = (),
    solutions: list[Solution] | None = None,
    curvature: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """What pruning keeps of each layer's target: its own sets first, then the budgets that layers share.

    curvature: of the weights, for budgets that go by it. solutions: gets the account of every hardware budget.
    """
    masks = {name: layers[name].mask(target, signs.get(name)) for name, target in targets.items()}
    for budget in budgets:
        left = {name: targets[name].masked_fill(~masks[name], 0) for name in budget.layers}
        groups = {name: layers[name].groups for name in left}
        if isinstance(budget, Budget):
            solved = budget.solve(left, groups, curvature)
            found = solved.masks
            if solutions is not None:
                solutions.append(solved)
        else:
            found = budget.masks(left, groups, curvature)
        masks |= {name: masks[name] & mask for name, mask in found.items()}
    return masks


def _with_library(constraint: Prune, layer: Layer) -> Prune:
    return constraint.chosen(layer.weight, layer.groups) if isinstance(constraint, Pattern) else constraint


def _budgets(plan: Plan, model: nn.Module, modules: dict[str, nn.Module]) -> tuple[Shared, ...]:
    found: list[Shared] = []
    for budget in plan.budgets:
        for pattern in budget.layers:
            if not any(fnmatchcase(name, pattern) for name in modules):
                raise _unmatched(pattern, model, modules)
        if isinstance(budget, Budget):  # it names its layers one by one
            found.append(budget)
            continue
        names = tuple(name for name in modules if any(fnmatchcase(name, pattern) for pattern in budget.layers))
        found.append(replace(budget, layers=names))
    return tuple(found)


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, KINDS)


Entry = TypeVar("Entry", LayerPlan, LayerLevels)


def _matched(entries: Sequence[Entry], model: nn.Module, modules: dict[str, nn.Module]) -> dict[str, Entry]:
    """The entry of every layer: an exact name first, then the first glob."""
    exact = {entry.name: entry for entry in entries if entry.name in modules}
    chosen = {}
    for name in modules:
        globs = (entry for entry in entries if fnmatchcase(name, entry.name))
        entry = exact.get(name) or next(globs, None)
        if entry is not None:
            chosen[name] = entry
    used = {entry.name for entry in chosen.values()}
    for entry in entries:
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


def _check_sets(layer: Layer) -> None:
    if sum(isinstance(constraint, Polarised) for constraint in layer.prune) > 1:
        raise UserError(f"Layer {layer.name!r} has one polarity: give at most one Polarised.")
    if layer.polarised and layer.levels is not None and not layer.levels.both_signs:
        raise UserError(
            f"Layer {layer.name!r}: Polarised needs levels above and below zero, and {layer.levels!r} does not "
            "promise them. Use symmetric levels, or leave one of the two out."
        )
    try:
        for constraint in layer.prune:
            constraint.check(layer.weight.shape, layer.groups)
        if isinstance(layer.levels, Scaled):
            _check_signs(layer.weight.detach(), layer.levels.unit())
    except UserError as error:
        raise UserError(f"Layer {layer.name!r}: {error}") from None


def _check_signs(w: Tensor, unit: np.ndarray) -> None:
    for lacking, sign in ((unit[0] >= 0, -1), (unit[-1] <= 0, 1)):
        count = int((w * sign > 0).sum())
        if lacking and count:
            raise UserError(
                f"{count} of {w.numel()} weights are {'positive' if sign > 0 else 'negative'}, and the levels "
                f"{unit[0]:g} … {unit[-1]:g} have none of that sign. Use levels of both signs."
            )


def _check_shared(name: str, weight: nn.Parameter, model: nn.Module) -> None:
    for other, parameter in model.named_parameters(remove_duplicate=False):
        if isinstance(parameter, nn.parameter.UninitializedParameter) or other == f"{name}.weight":
            continue
        if parameter is weight or parameter.data_ptr() == weight.data_ptr():
            raise UserError(
                f"Layer {name!r} shares its weight with {other!r}: a placed weight stands in one place. "
                "Untie them (copy the module or its weight), or leave the layer out of the plan."
            )
