"""What a compression works with and how far it is: the caller's objects, the copied model, its state and measures."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from admm import distributed, pins, retrain
from admm.constraints import Shared
from admm.curvature import weight_curvature
from admm.distill import Teacher
from admm.epoch import DivergenceError, Loss, mean_loss
from admm.layers import Layer, resolve, resolve_budgets
from admm.pins import Stuck
from admm.plan import Plan
from admm.relax import relaxed_budget, relaxed_layer
from admm.schedules import Stage, make_optimiser, stages
from admm.state import State
from hwmodels.errors import UserError, unknown

Evaluate = Callable[[nn.Module], float]
OnEpoch = Callable[[dict[str, Any]], None]
Cost = Callable[[Mapping[str, Tensor]], Mapping[str, float]]
"""Module name → live entries (bool, of the weight's shape) → what the network costs, by name."""


@dataclass(frozen=True, eq=False)
class Extras:
    """What a caller of `compress` may add to the plain run."""

    masks: Mapping[str, Tensor] = field(default_factory=dict)
    teacher: nn.Module | None = None
    wrap: retrain.Wrap | None = None
    stuck: Mapping[str, Stuck] = field(default_factory=dict)
    cost: Cost | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Those that determine the run, by name."""
        found = {f"mask of {name}": mask for name, mask in self.masks.items()}
        found |= {f"stuck at {name}": pin.value.masked_fill(~pin.where, 0) for name, pin in self.stuck.items()}
        found |= {f"stuck in {name}": pin.where for name, pin in self.stuck.items()}
        if self.teacher is not None:
            found |= {f"teacher {name}": value for name, value in self.teacher.state_dict().items()}
        return found


class Job:
    """A compression under way; `transitions` and `stage_epoch` move it on."""

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        train: Iterable[Any],
        evaluate: Evaluate,
        loss: Loss,
        reseed: Callable[[int], None],
        extras: Extras,
    ) -> None:
        resolve(plan, model)  # before copying: its messages are the user's
        self.model = copy.deepcopy(model)
        self.layers = resolve(plan, self.model)
        self.budgets = resolve_budgets(plan, self.model)
        self.schedule, self.train, self.evaluate, self.loss, self.reseed = plan.schedule, train, evaluate, loss, reseed
        self.device = next(iter(self.layers.values())).weight.device
        self.stages = stages(plan, self.layers.values())
        self.total = sum(stage.epochs for stage in self.stages)
        self.optimiser = make_optimiser(self.model, self.schedule)
        self.state = State(rho=self.schedule.rho)
        self.extras, self.wrap = extras, extras.wrap
        pins.check(extras.stuck, self.layers)
        self.teacher = None
        if self.schedule.distill:
            temperature = self.schedule.distill_temperature or 1.0
            self.teacher = Teacher(extras.teacher or model, self.schedule.distill, temperature)
        distributed.require_equal_shares(train, self.device)
        distributed.share(self.model)
        self._start_masked(extras.masks)

    def _start_masked(self, masks: Mapping[str, Tensor]) -> None:
        """Begin with what an earlier pruning left."""
        for name, mask in masks.items():
            if name not in self.layers:
                raise unknown("layer", name, self.layers)
            weight = self.layers[name].weight
            if mask.dtype != torch.bool or mask.shape != weight.shape:
                raise UserError(f"The mask of layer {name!r} must be a bool tensor of shape {tuple(weight.shape)}.")
            self.state.masks[name] = mask.to(weight.device).clone()
        if masks:
            ones = {name: torch.ones_like(layer.weight, dtype=torch.bool) for name, layer in self.layers.items()}
            self.state.masks = {name: self.state.masks.get(name, one) for name, one in ones.items()}
            retrain.apply_masks(self.layers, self.state.masks)

    def staged(self, stage: Stage) -> dict[str, Layer]:
        """The layers as this stage sees them: with as many groups as its round of pruning leaves."""
        return {name: relaxed_layer(layer, stage.relax) for name, layer in self.layers.items()}

    def staged_budgets(self, stage: Stage) -> tuple[Shared, ...]:
        """The shared budgets as this stage sees them."""
        return tuple(relaxed_budget(budget, stage.relax, self.layers) for budget in self.budgets)

    def within(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks, no larger than those that stand."""
        standing = self.state.masks
        return {name: mask & standing[name] if name in standing else mask for name, mask in masks.items()}

    def measure_curvature(self) -> None:
        """Measure the weights' curvature where a budget goes by it, on the batches of the coming epoch."""
        asked = {name for budget in self.budgets if budget.measure == "loss" for name in budget.layers}
        if asked:
            self.start(len(self.state.rows) + 1)
            layers = {name: layer for name, layer in self.layers.items() if name in asked}
            with self.projected():
                self.state.curvature = weight_curvature(
                    self.model, layers, self.train, self.loss, self.device, self.schedule.precision
                )

    def start(self, number: int) -> None:
        """Random numbers and data of an epoch, by its running number."""
        self.reseed(number)
        set_epoch = getattr(self.train, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(number)

    def evaluated(self) -> float:
        """The caller's accuracy of the model as it stands, on its levels once they are fixed."""
        self.model.eval()
        with torch.no_grad(), self.projected():
            value = self.evaluate(self.model)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise UserError(f"evaluate must return a number, not {value!r}.") from None

    def mean_loss(self) -> float:
        """The training loss in evaluation mode, on the levels where the forward pass stands on them."""
        self.start(len(self.state.rows) + 1)
        with self.projected():
            return mean_loss(self.model, self.train, self.loss, self.device)

    def projected(self) -> AbstractContextManager[None]:
        """The model on its levels, once they are fixed."""
        state = self.state
        return retrain.projected(self.layers, state.masks, state.grids, state.signs)

    def prepare(self, wrap: retrain.Wrap | None) -> None:
        """Show a wrapper the model on its levels, if it wants to see it before an epoch."""
        if wrap is not None:
            with self.projected():
                retrain.prepare(wrap, self.model, self.state.masks, self.state.grids)

    def keep_best(self, stage: Stage) -> None:
        """Remember the projected model if its training loss, in evaluation mode, is the lowest yet.

        Every candidate, the one before the first epoch too, sees the batches of the stage's first epoch.
        """
        if stage.epochs == 0:  # nothing to choose from
            return
        self.start(len(self.state.rows) - self.state.done + 1)
        self.prepare(self.wrap)
        with self.projected(), retrain.wrapped(self.layers, self.wrap):
            loss = mean_loss(self.model, self.train, self.loss, self.device)
            if self.state.best is None or loss < self.state.best["loss"]:
                weights = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
                self.state.best = {"loss": loss, "model": weights}

    def require_finite(self) -> None:
        """Raise DivergenceError, naming the parameter, where one is not finite."""
        for name, parameter in self.model.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise DivergenceError(f"{name} became NaN or infinite")
