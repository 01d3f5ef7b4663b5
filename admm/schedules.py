"""The stages that a plan goes through, epoch by epoch: what pulls, what is masked, at what learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from admm.layers import Layer
from admm.plan import Plan, Schedule
from admm.solver import Residuals
from hwmodels.errors import UserError

StageName = Literal["admm", "retrain", "quantise", "finish"]

THRESHOLD = 10.0
"""Boyd et al. 2011, section 3.4.1: µ = 10, the ratio of residuals above which ρ moves."""
STEP_RATIO = 2.0
"""Ye et al. 2019 (arXiv 1903.09769): the second step's rate is about twice the first's."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A run of epochs under one regime.

    prune, quantise: which copies pull; masked: pruning is fixed; straight_through: the forward pass sees the
    final levels; restart: epochs after which the learning rate starts again. relax: how many times the groups of
    the plan may stay in this round of pruning; decides: the mask is taken from the weights when the stage begins,
    within the mask that there is; inner: only layers between the first and the last are quantised.
    """

    name: StageName
    epochs: int
    lr: float
    restart: int
    prune: bool = False
    quantise: bool = False
    masked: bool = True
    straight_through: bool = False
    relax: float = 1.0
    decides: bool = False
    inner: bool = False

    def updates_after(self, epoch: int, every: int) -> bool:
        """Whether the copies are updated at the end of this epoch (0, 1, …) of the stage."""
        return (self.prune or self.quantise) and ((epoch + 1) % every == 0 or epoch + 1 == self.epochs)

    def rate(self, epoch: int, course: Literal["cosine", "step", "constant"]) -> float:
        """Learning rate of this epoch (0, 1, …) of the stage."""
        start = epoch - epoch % self.restart
        done = (epoch - start) / min(self.restart, self.epochs - start)
        if course == "cosine":
            return self.lr * (1 + math.cos(math.pi * done)) / 2
        if course == "step":
            return self.lr * 0.1 ** math.floor(3 * done + 1e-9)
        return self.lr

    @property
    def finishes(self) -> bool:
        """Whether the weights are brought to their levels for good here, and the best epoch is kept."""
        return self.name == "finish"


def stages(plan: Plan, layers: Iterable[Layer]) -> list[Stage]:
    """The stages of a plan on these layers; those with nothing to do are left out.

    Raises UserError for rounds of pruning with nothing to prune, and for two steps of quantisation with nothing
    between the first and the last layer.
    """
    s, layers = plan.schedule, list(layers)
    prunes = any(layer.prunes for layer in layers)
    quantises = any(layer.levels for layer in layers)
    _require_use(s, layers, prunes=prunes)
    joint = plan.order == "joint"
    first = quantises and plan.order == "quantise-first"
    quantise_epochs = s.admm_epochs if s.quantise_epochs is None else s.quantise_epochs
    quantising = Stage(name="quantise", epochs=quantise_epochs, lr=s.lr, restart=s.update_every, quantise=True)
    found = [quantising] if first else []
    if prunes or joint:
        found += _rounds(plan, prunes=prunes, both=joint and quantises, on_levels=first)
    if quantises and plan.order == "sequential":
        if s.quantise_steps == 2:
            found.append(replace(quantising, inner=True))
        found.append(replace(quantising, straight_through=s.quantise_steps == 2))
    if quantises:
        found.append(
            Stage(
                name="finish",
                epochs=s.finish_epochs,
                lr=s.finish_lr or s.lr,
                restart=_whole(s.finish_epochs),
                straight_through=True,
            )
        )
    return found


def inner_layers(layers: Mapping[str, Layer]) -> list[str]:
    """Names of the layers that are quantised, but for the first and the last of them."""
    return [name for name, layer in layers.items() if layer.levels is not None][1:-1]


def _require_use(s: Schedule, layers: Sequence[Layer], *, prunes: bool) -> None:
    """Refuse steps that would have nothing to do on these layers."""
    if s.steps > 1 and not prunes:
        raise UserError(f"steps = {s.steps} prunes in rounds, and nothing is pruned. Take steps = 1, or prune a layer.")
    if s.quantise_steps == 2 and sum(layer.levels is not None for layer in layers) < 3:
        raise UserError(
            "quantise_steps = 2 leaves the first and the last layer for later, and fewer than three layers are "
            "quantised. Take quantise_steps = 1."
        )


def _rounds(plan: Plan, *, prunes: bool, both: bool, on_levels: bool) -> list[Stage]:
    """ADMM and masked retraining, as often as the schedule has steps, with ever fewer groups."""
    s = plan.schedule
    steps, ratio = s.steps if prunes else 1, s.step_ratio or STEP_RATIO
    found = []
    for step in range(steps):
        relax = ratio ** (steps - 1 - step)
        found.append(
            Stage(
                name="admm", epochs=s.admm_epochs, lr=s.lr, restart=s.update_every,
                prune=prunes, quantise=both, masked=False, straight_through=on_levels, relax=relax,
            )
        )  # fmt: skip
        found.append(
            Stage(
                name="retrain", epochs=s.retrain_epochs, lr=s.retrain_lr or 10 * s.lr, restart=_whole(s.retrain_epochs),
                quantise=both, straight_through=on_levels, relax=relax, decides=True,
            )
        )  # fmt: skip
    return found


def next_rho(rho: float, schedule: Schedule, found: Sequence[Residuals]) -> float:
    """ρ after an update with these residuals: grown, or moved towards the balance of primal and dual residual."""
    if schedule.rho_rule == "grow":
        return rho * schedule.rho_growth
    primal = math.hypot(*(r.primal for r in found))
    dual = math.hypot(*(r.dual for r in found))
    threshold = schedule.rho_threshold or THRESHOLD
    if primal > threshold * dual:
        return rho * schedule.rho_growth
    return rho / schedule.rho_growth if dual > threshold * primal else rho


def converged(found: Sequence[Residuals], rho: float, stop: float | None) -> bool:
    """Whether every copy is within stop · ‖W‖ of its weights and moved by no more than that (at this ρ)."""
    if stop is None or not found:
        return False
    return all(r.primal <= stop * r.norm and r.dual <= stop * rho * r.norm for r in found)


def make_optimiser(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """A fresh optimiser over the parameters that are not frozen."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if schedule.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=schedule.lr, weight_decay=schedule.weight_decay)
    momentum = 0.9 if schedule.momentum is None else schedule.momentum
    return torch.optim.SGD(parameters, lr=schedule.lr, momentum=momentum, weight_decay=schedule.weight_decay)


def _whole(epochs: int) -> int:
    return max(1, epochs)
