"""The whole of a compression: the stages one after the other, a checkpoint after every epoch, a check at the end."""

from __future__ import annotations

import copy
import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from admm import distributed, pins, relatives, retrain, solver
from admm import state as states
from admm.compressed import CHOICES, HISTORY, RESIDUALS, Compressed, history_table, total
from admm.constraints import Shared, Solution
from admm.distill import Teacher
from admm.epoch import DivergenceError, Loss, mean_loss, own_randomness, train_epoch
from admm.layers import Layer, masks_of, resolve, resolve_budgets
from admm.pins import Stuck
from admm.plan import Plan
from admm.relax import relaxed_budget, relaxed_layer
from admm.schedules import Stage, converged, inner_layers, make_optimiser, next_rho, stages
from admm.state import State
from crossbar.levels import LevelGrid
from hwmodels.errors import UserError, unknown

Evaluate = Callable[[nn.Module], float]
OnEpoch = Callable[[dict[str, Any]], None]
Cost = Callable[[Mapping[str, Tensor]], Mapping[str, float]]
"""Module name → live entries (bool, of the weight's shape) → what the network costs, by name."""


def compress(
    model: nn.Module,
    plan: Plan,
    train: Iterable[tuple[Tensor, Tensor]],
    evaluate: Evaluate,
    *,
    loss: Loss = cross_entropy,
    seed: int = 0,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    on_epoch: OnEpoch | None = None,
    masks: Mapping[str, Tensor] | None = None,
    teacher: nn.Module | None = None,
    wrap: retrain.Wrap | None = None,
    stuck: Mapping[str, Stuck] | None = None,
    cost: Cost | None = None,
) -> Compressed:
    """Prune and quantise a trained model by ADMM until every constraint of the plan holds exactly.

    model: left as it is, a copy is compressed (on the model's own device). plan: see `Plan`.
    train: batches (inputs, targets), iterable once per epoch; if it has `set_epoch`, that is called with the
        running number of the epoch (from 1) before each. evaluate(model) → accuracy, called in evaluation mode
        after every epoch, only to be recorded: nothing is chosen by it.
    loss(outputs, targets) → scalar, a mean over the batch. seed: every epoch's random numbers derive from it;
        the caller's generators are left alone.
    checkpoint_dir: state is kept there after every epoch, and a run that finds some goes on from it, bit for
        bit as if never interrupted (one thread, one machine, the same data). The fingerprint that must match
        covers plan, seed and the model's initial weights; data and loss cannot be checked.
    on_epoch(row): called after every epoch, once its checkpoint is written; the row has the columns of
        `Compressed.history` and `epochs`, the number of all epochs. An exception raised there stops the run.
    masks: module name → bool tensor of its weight's shape: what an earlier pruning left; the rest stays dead.
    teacher: the dense network that `Schedule.distill` learns from; None: the model as given.
    wrap: the hardware in the loop: in masked stages every planned layer computes through wrap(layer) while it trains
        (see `retrain.wrapped`); `evaluate` sees the plain model. An interrupted run repeats bit for bit if the
        wrapper draws from torch's generators only.
    stuck: module name → weights pinned by faulty cells (see `pins`), in masked stages and in the result.
    cost(masks) → what the network costs after projection (numbers by name: arrays, area_mm2, …), called after every
        epoch with the live entries of every planned layer; the numbers become columns of the history.

    In a process group (`distributed`) every rank calls this with its share of the data and gets the same result;
    rank 0 writes checkpoints.

    Raises UserError for a plan that does not fit the model, unusable data, a checkpoint of another run, and
    for training that diverges (naming stage and epoch).
    """
    if isinstance(train, Iterator):
        raise UserError("train is used up by one pass. Give a DataLoader or a list of batches, no generator.")
    extras = _Extras(masks or {}, teacher, wrap, stuck or {}, cost)
    with own_randomness(model) as reseed:
        run = _Run(model, plan, train, evaluate, loss, functools.partial(reseed, seed), extras)
        identity = states.fingerprint(plan, seed, run.model, extras.tensors())
        if checkpoint_dir is not None:
            run.resume(checkpoint_dir, identity)
            distributed.barrier()  # nobody overwrites what another still reads
        for row in run.epochs():
            if checkpoint_dir is not None and distributed.rank() == 0:
                states.save(checkpoint_dir, identity, run.state, run.model, run.optimiser)
            if on_epoch is not None:
                on_epoch(row)
        return run.result()


@dataclass(frozen=True, eq=False)
class _Extras:
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


class _Run:
    """A compression under way: the caller's objects, the copy of the model, and its state."""

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        train: Iterable[Any],
        evaluate: Evaluate,
        loss: Loss,
        reseed: Callable[[int], None],
        extras: _Extras,
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

    def resume(self, folder: str | os.PathLike[str], identity: str) -> None:
        """Go on from the last saved epoch, if there is one."""
        found = states.load(folder, identity, self.layers, self.model, self.optimiser)
        if found is None:
            return
        self.state = found
        staged = self._staged(self.stages[found.stage])
        for name, copies in found.copies.items():
            copies.layer = staged[name]

    def epochs(self) -> Iterator[dict[str, Any]]:
        """All epochs from where the run stands, a row after each."""
        state = self.state
        while state.stage < len(self.stages):
            stage = self.stages[state.stage]
            if state.done == 0:  # state is saved after epochs only, so a resumed stage has one behind it
                self._enter(stage)
            while state.done < stage.epochs and not state.stopped:
                yield {**self._epoch(stage), "epochs": self.total}
            self._leave(stage)

    def result(self) -> Compressed:
        """The finished compression; a constraint that does not hold exactly is a bug and stops everything."""
        accuracy = self.state.accuracy
        accuracy["quantised"] = self._evaluated() if self.state.grids else accuracy["pruned"]
        compressed = Compressed(
            model=self.model.eval(),
            masks=self.state.masks,
            grids=self.state.grids,
            history=history_table(self.state.rows),
            residuals=pd.DataFrame(self.state.residuals, columns=list(RESIDUALS)),
            stages=accuracy,
            layers={name: layer.plan() for name, layer in self.layers.items()},
            budgets=self.budgets,
            choices=pd.DataFrame(self.state.choices, columns=list(CHOICES)),
        )
        violations = compressed.violations()
        if any(violations.values()):
            raise RuntimeError(f"the compressed model breaks its own constraints: {violations}")
        return compressed

    # Stages

    def _enter(self, stage: Stage) -> None:
        state = self.state
        if stage.decides:
            self._decide(stage)
        elif stage.masked and not state.masks:
            state.masks = {name: torch.ones_like(each.weight, dtype=torch.bool) for name, each in self.layers.items()}
            state.masks = pins.alive(self.extras.stuck, state.masks)
        if stage.name in ("quantise", "finish") and "pruned" not in state.accuracy:
            state.accuracy["pruned"] = self._evaluated()  # there was nothing to prune
        if stage.straight_through:
            state.grids = {**self._grids(), **state.grids}
        if stage.masked and self.extras.stuck:
            self._pin()
        state.copies = self._copies(stage)
        self.optimiser = make_optimiser(self.model, self.schedule)
        if self.schedule.solver == "slr" and state.copies:
            state.surrogate = relatives.begin(state.copies.values(), state.rho, self._mean_loss(), self.schedule)
        if stage.finishes:
            self._keep_best(stage)

    def _decide(self, stage: Stage) -> None:
        """Fix the pruning at what the weights are now, within what an earlier round left."""
        state = self.state
        masks, state.signs = self._supports(stage)
        state.masks = pins.alive(self.extras.stuck, masks)
        retrain.apply_masks(self.layers, state.masks, state.signs)

    def _grids(self) -> dict[str, LevelGrid]:
        """The grids of all layers that have none yet, for the live weights as they are."""
        layers = {name: layer for name, layer in self.layers.items() if name not in self.state.grids}
        inner = self.stages[self.state.stage].name == "quantise"
        if inner:
            layers = {name: layer for name, layer in layers.items() if name in inner_layers(self.layers)}
        return retrain.fit_grids(layers, pins.free(self.extras.stuck, self.state.masks))

    def _pin(self) -> None:
        """Set pinned weights to their values, on the final levels or on those that fit now."""
        state, stuck = self.state, self.extras.stuck
        grids = {**retrain.fit_grids(self.layers, pins.free(stuck, state.masks)), **state.grids}
        state.pins = pins.pinned(stuck, grids, self.layers)
        pins.hold(stuck, state.pins, self.layers, state.masks)

    def _staged(self, stage: Stage) -> dict[str, Layer]:
        """The layers as this stage sees them: with as many groups as its round of pruning leaves."""
        return {name: relaxed_layer(layer, stage.relax) for name, layer in self.layers.items()}

    def _staged_budgets(self, stage: Stage) -> tuple[Shared, ...]:
        return tuple(relaxed_budget(budget, stage.relax, self.layers) for budget in self.budgets)

    def _copies(self, stage: Stage) -> dict[str, solver.Copies]:
        """Those of the stage before go on under the mask; otherwise ADMM begins anew, with the first rho."""
        state = self.state
        if not (stage.prune or stage.quantise):
            return {}
        if stage.masked and state.copies and not stage.straight_through:
            return {
                name: solver.under_mask(copies, state.masks[name], state.signs.get(name))
                for name, copies in state.copies.items()
            }
        state.rho = self.schedule.rho
        masks, signs = self._supports(stage) if stage.prune else (state.masks, state.signs)
        return {
            name: solver.begin(
                layer,
                masks.get(name),
                prune=stage.prune,
                quantise=stage.quantise and self._pulled(stage, name),
                signs=signs.get(name),
            )
            for name, layer in self._staged(stage).items()
        }

    def _pulled(self, stage: Stage, name: str) -> bool:
        """Whether a layer is pulled to its levels: not once it stands on them, and the ends not before the rest."""
        return name not in self.state.grids and (not stage.inner or name in inner_layers(self.layers))

    def _supports(self, stage: Stage) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What pruning keeps of the weights as they are, and the signs that polarised layers get."""
        layers, budgets = self._staged(stage), self._staged_budgets(stage)
        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        signs = {name: s for name, layer in layers.items() if (s := layer.signs(weights[name])) is not None}
        solutions: list[Solution] = []
        masks = masks_of(layers, weights, signs, budgets, solutions)
        self.state.account(stage.name, len(self.state.rows), budgets, solutions)
        return self._within(masks), signs

    def _within(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Masks, no larger than those that stand."""
        standing = self.state.masks
        return {name: mask & standing[name] if name in standing else mask for name, mask in masks.items()}

    def _leave(self, stage: Stage) -> None:
        state = self.state
        if stage.name == "retrain":
            state.accuracy["pruned"] = state.rows[-1]["accuracy"] if stage.epochs else self._evaluated()
        if stage.finishes:
            retrain.project_weights(self.layers, state.masks, state.grids, state.signs)
            if state.best is not None:
                self.model.load_state_dict(state.best["model"])
        state.stage, state.done, state.stopped = state.stage + 1, 0, False
        state.surrogate = None

    # An epoch

    def _epoch(self, stage: Stage) -> dict[str, Any]:
        state, number = self.state, len(self.state.rows) + 1
        rho = state.rho if state.copies else math.nan
        try:
            loss = self._trained(stage, number)
            self._require_finite()
        except DivergenceError as error:
            smaller = "learning rate or rho" if state.copies else "learning rate"
            raise UserError(
                f"Stage {stage.name!r}, epoch {number}: {error}. Try a smaller {smaller}; "
                "the last good checkpoint is kept."
            ) from None
        found = self._updated(stage, number)
        if stage.finishes:
            self._keep_best(stage)
        primal_prune, dual_prune = total(found, "prune")
        primal_quantise, dual_quantise = total(found, "quantise")
        row = {
            "stage": stage.name,
            "epoch": number,
            "loss": loss,
            "accuracy": self._evaluated(),
            "rho": rho,
            "primal_prune": primal_prune,
            "dual_prune": dual_prune,
            "primal_quantise": primal_quantise,
            "dual_quantise": dual_quantise,
            "kept": sum(int(state.live(name).sum()) for name in self.layers),
        }
        if self.extras.cost is not None:
            row |= self._costs(self.extras.cost)
        state.rows.append(row)
        state.done += 1
        return row

    def _costs(self, cost: Cost) -> dict[str, float]:
        """What the network would cost if pruning were final now."""
        found = {name: float(value) for name, value in cost({n: self.state.live(n) for n in self.layers}).items()}
        taken = [name for name in found if name in HISTORY or name == "epochs"]
        if taken:
            raise UserError(f"cost names a column {taken[0]!r}, which the history has already. Choose another name.")
        return found

    def _forward(self, stage: Stage) -> Callable[[Tensor], Any]:
        """Inputs → outputs of the model as this stage trains it, with those of the teacher if there is one."""
        state, teacher = self.state, self.teacher if stage.masked else None

        def student(inputs: Tensor) -> Any:
            if not stage.straight_through:
                return self.model(inputs)
            levels = retrain.on_levels(self.layers, state.masks, state.grids, state.signs)
            return functional_call(self.model, levels, (inputs,))

        if teacher is None:
            return student
        return lambda inputs: (student(inputs), teacher.outputs(inputs))

    def _trained(self, stage: Stage, number: int) -> float:
        """One training pass; the mean loss."""
        state = self.state
        for group in self.optimiser.param_groups:
            group["lr"] = stage.rate(state.done, self.schedule.lr_schedule)

        def before_step() -> None:
            for copies in state.copies.values():
                solver.pull(copies, state.rho)
            retrain.mask_gradients(self.layers, state.masks)

        def after_step() -> None:
            retrain.apply_masks(self.layers, state.masks, state.signs)
            retrain.clamp_latent(self.layers, state.grids)
            if stage.masked:
                pins.hold(self.extras.stuck, state.pins, self.layers, state.masks)

        self._start(number)
        self.model.train()
        with retrain.wrapped(self.layers, self.wrap if stage.masked else None):
            loss = train_epoch(
                self._forward(stage),
                self.train,
                self.teacher.mixed(self.loss) if self.teacher and stage.masked else self.loss,
                self.optimiser,
                device=self.device,
                before_step=before_step,
                after_step=after_step,
                accumulate=self.schedule.accumulate,
                precision=self.schedule.precision,
            )
        distributed.share(self.model)
        return loss

    def _updated(self, stage: Stage, number: int) -> list[solver.Residuals]:
        """Update the copies if their time has come, and let rho move."""
        state, rho = self.state, self.state.rho
        if not stage.updates_after(state.done, self.schedule.update_every):
            return []

        def choose() -> dict[str, Tensor]:
            budgets = self._staged_budgets(stage) if stage.prune else ()
            solutions: list[Solution] = []
            live = solver.choose(state.copies, budgets, solutions)
            state.account(stage.name, number, budgets, solutions)
            return self._within(live)

        loss = math.nan
        if state.surrogate is not None:
            loss = self._mean_loss()
            found = relatives.update(state.copies, rho, state.surrogate, loss, self.schedule, choose)
        else:
            live = choose()
            found = [r for name, copies in state.copies.items() for r in solver.update(copies, rho, live.get(name))]
        state.record(stage.name, number, found)
        state.stopped = converged(found, rho, self.schedule.stop)
        state.rho = next_rho(rho, self.schedule, found)
        for copies in state.copies.values():
            solver.rescale(copies, state.rho / rho if self.schedule.rho_rule == "balance" else self.schedule.rho_growth)
        if state.surrogate is not None:
            state.surrogate.note(state.copies.values(), state.rho, loss)
        return found

    def _mean_loss(self) -> float:
        """The training loss in evaluation mode, on the levels where the forward pass stands on them."""
        self._start(len(self.state.rows) + 1)
        with self._projected():
            return mean_loss(self.model, self.train, self.loss, self.device)

    def _start(self, number: int) -> None:
        """Random numbers and data of an epoch, by its running number."""
        self.reseed(number)
        set_epoch = getattr(self.train, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(number)

    def _evaluated(self) -> float:
        """The caller's accuracy of the model as it stands, on its levels once they are fixed."""
        self.model.eval()
        with torch.no_grad(), self._projected():
            value = self.evaluate(self.model)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise UserError(f"evaluate must return a number, not {value!r}.") from None

    def _projected(self) -> AbstractContextManager[None]:
        """The model on its levels, once they are fixed."""
        state = self.state
        return retrain.projected(self.layers, state.masks, state.grids, state.signs)

    def _keep_best(self, stage: Stage) -> None:
        """Remember the projected model if its training loss, in evaluation mode, is the lowest yet.

        Every candidate, the one before the first epoch too, sees the batches of the stage's first epoch.
        """
        if stage.epochs == 0:  # nothing to choose from
            return
        self._start(len(self.state.rows) - self.state.done + 1)
        with self._projected(), retrain.wrapped(self.layers, self.wrap):
            loss = mean_loss(self.model, self.train, self.loss, self.device)
            if self.state.best is None or loss < self.state.best["loss"]:
                weights = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
                self.state.best = {"loss": loss, "model": weights}

    def _require_finite(self) -> None:
        for name, parameter in self.model.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise DivergenceError(f"{name} became NaN or infinite")
