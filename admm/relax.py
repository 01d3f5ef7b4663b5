"""Looser budgets for the first rounds of progressive pruning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from admm.constraints import NM, Budget, ColumnBalanced, Groups, Prune, Shared
from admm.layers import Layer, resolve, resolve_budgets
from admm.plan import Plan


def relaxed_plan(plan: Plan, factor: float, model: nn.Module) -> Plan:
    """The plan with `factor` ≥ 1 times the groups in every pruning set and budget, its layers named one by one.

    Raises UserError as `resolve` and `resolve_budgets` do.
    """
    layers, budgets = resolve(plan, model), resolve_budgets(plan, model)
    return replace(
        plan,
        layers=tuple(relaxed_layer(layer, factor).plan() for layer in layers.values()),
        budgets=tuple(relaxed_budget(budget, factor, layers) for budget in budgets),
        levels=(),
    )


def relaxed_layer(layer: Layer, factor: float) -> Layer:
    """The layer with `factor` times the groups in each of its pruning sets; 1 gives the layer itself."""
    if factor == 1:
        return layer
    return replace(layer, prune=tuple(relaxed(c, factor, layer) for c in layer.prune))


def relaxed(constraint: Prune, factor: float, layer: Layer) -> Prune:
    """A set that allows `factor` ≥ 1 times as many groups (live cells a column, weights of M), rounded up, all at most.

    Sets that count nothing of the kind (patterns, polarity) hold from the first round on. A layer with two sets
    relaxes each of them.
    """
    shape = layer.weight.shape
    if isinstance(constraint, Groups):
        total = int(constraint.labels(shape, layer.groups).max()) + 1
        keep = min(total, math.ceil(factor * constraint.allowed(total)))
        return replace(constraint, keep=keep)  # type: ignore[type-var, return-value]
    if isinstance(constraint, ColumnBalanced):
        return replace(constraint, live=min(constraint.rows, math.ceil(factor * constraint.live)))
    if isinstance(constraint, NM):
        return replace(constraint, n=min(constraint.m, math.ceil(factor * constraint.n)))
    return constraint


def relaxed_budget(budget: Shared, factor: float, layers: Mapping[str, Layer]) -> Shared:
    """A shared budget with `factor` times the groups (or weights), rounded up, all of them at most.

    A hardware budget gets `factor` times its limit, what the unpruned layers cost at most: rounds that leave a constant
    ratio of groups leave the same ratio of the cost, down to the limit itself.
    """
    if factor == 1:
        return budget
    if isinstance(budget, Budget):
        return replace(budget, limit=min(factor * budget.limit, max(budget.limit, budget.largest)))
    members = [layers[name] for name in budget.layers]
    if budget.cost == "weights":
        total = sum(layer.weight.numel() for layer in members)
    else:
        total = sum(int(budget.of.labels(layer.weight.shape, layer.groups).max()) + 1 for layer in members)
    keep = min(total, math.ceil(factor * budget.of.allowed(total)))
    return replace(budget, of=replace(budget.of, keep=keep))
