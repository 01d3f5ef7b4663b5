"""The stages that a plan goes through, epoch by epoch: what pulls, what is masked, at what learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from admm.layers import Layer
from admm.plan import Plan, Schedule

StageName = Literal["admm", "retrain", "quantise", "finish"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A run of epochs under one regime.

    prune, quantise: which copies pull; masked: pruning is fixed; straight_through: the forward pass sees the
    final levels; restart: epochs after which the learning rate starts again.
    """

    name: StageName
    epochs: int
    lr: float
    restart: int
    prune: bool = False
    quantise: bool = False
    masked: bool = True
    straight_through: bool = False

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


def stages(plan: Plan, layers: Iterable[Layer]) -> list[Stage]:
    """The stages of a plan on these layers; those with nothing to do are left out."""
    s, layers = plan.schedule, list(layers)
    prunes = any(layer.prunes for layer in layers)
    quantises = any(layer.levels for layer in layers)
    joint = plan.order == "joint"
    found = []
    if prunes or joint:
        both = joint and quantises
        found.append(
            Stage(
                name="admm", epochs=s.admm_epochs, lr=s.lr, restart=s.update_every,
                prune=prunes, quantise=both, masked=False,
            )
        )  # fmt: skip
        retrain_lr = s.retrain_lr or 10 * s.lr
        found.append(
            Stage(
                name="retrain", epochs=s.retrain_epochs, lr=retrain_lr, restart=_whole(s.retrain_epochs), quantise=both
            )
        )
    if quantises and not joint:
        epochs = s.admm_epochs if s.quantise_epochs is None else s.quantise_epochs
        found.append(Stage(name="quantise", epochs=epochs, lr=s.lr, restart=s.update_every, quantise=True))
    if quantises:
        finish_lr = s.finish_lr or s.lr
        found.append(
            Stage(
                name="finish",
                epochs=s.finish_epochs,
                lr=finish_lr,
                restart=_whole(s.finish_epochs),
                straight_through=True,
            )
        )
    return found


def make_optimiser(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """A fresh optimiser over the parameters that are not frozen."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if schedule.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=schedule.lr, weight_decay=schedule.weight_decay)
    momentum = 0.9 if schedule.momentum is None else schedule.momentum
    return torch.optim.SGD(parameters, lr=schedule.lr, momentum=momentum, weight_decay=schedule.weight_decay)


def _whole(epochs: int) -> int:
    return max(1, epochs)
