"""The whole of a compression: the stages one after the other, a checkpoint after every epoch, a check at the end."""

from __future__ import annotations

import copy
import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from admm import retrain, solver
from admm import state as states
from admm.compressed import CHOICES, HISTORY, RESIDUALS, Compressed, total
from admm.constraints import Solution
from admm.epoch import DivergenceError, Loss, mean_loss, own_randomness, train_epoch
from admm.layers import masks_of, resolve, resolve_budgets
from admm.plan import Plan
from admm.schedules import Stage, make_optimiser, stages
from admm.state import State
from hwmodels.errors import UserError

Evaluate = Callable[[nn.Module], float]
OnEpoch = Callable[[dict[str, Any]], None]


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

    Raises UserError for a plan that does not fit the model, unusable data, a checkpoint of another run, and
    for training that diverges (naming stage and epoch).
    """
    if isinstance(train, Iterator):
        raise UserError("train is used up by one pass. Give a DataLoader or a list of batches, no generator.")
    with own_randomness(model) as reseed:
        run = _Run(model, plan, train, evaluate, loss, functools.partial(reseed, seed))
        identity = states.fingerprint(plan, seed, run.model)
        if checkpoint_dir is not None:
            run.resume(checkpoint_dir, identity)
        for row in run.epochs():
            if checkpoint_dir is not None:
                states.save(checkpoint_dir, identity, run.state, run.model, run.optimiser)
            if on_epoch is not None:
                on_epoch(row)
        return run.result()


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

    def resume(self, folder: str | os.PathLike[str], identity: str) -> None:
        """Go on from the last saved epoch, if there is one."""
        found = states.load(folder, identity, self.layers, self.model, self.optimiser)
        self.state = found or self.state

    def epochs(self) -> Iterator[dict[str, Any]]:
        """All epochs from where the run stands, a row after each."""
        state = self.state
        while state.stage < len(self.stages):
            stage = self.stages[state.stage]
            if state.done == 0:  # state is saved after epochs only, so a resumed stage has one behind it
                self._enter(stage)
            while state.done < stage.epochs:
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
            history=pd.DataFrame(self.state.rows, columns=list(HISTORY)),
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
        if stage.masked and not state.masks:
            state.masks, state.signs = self._supports(stage)
            retrain.apply_masks(self.layers, state.masks, state.signs)
        if stage.name in ("quantise", "finish") and "pruned" not in state.accuracy:
            state.accuracy["pruned"] = self._evaluated()  # there was nothing to prune
        state.copies = self._copies(stage)
        self.optimiser = make_optimiser(self.model, self.schedule)
        if stage.straight_through:
            state.grids = retrain.fit_grids(self.layers, state.masks)
            self._keep_best(stage)

    def _copies(self, stage: Stage) -> dict[str, solver.Copies]:
        """Those of the stage before go on under the mask; otherwise ADMM begins anew, with the first rho."""
        state = self.state
        if not (stage.prune or stage.quantise):
            return {}
        if stage.masked and state.copies:
            return {
                name: solver.under_mask(copies, state.masks[name], state.signs.get(name))
                for name, copies in state.copies.items()
            }
        state.rho = self.schedule.rho
        masks, signs = (state.masks, state.signs) if state.masks or not stage.prune else self._supports(stage)
        return {
            name: solver.begin(
                layer, masks.get(name), prune=stage.prune, quantise=stage.quantise, signs=signs.get(name)
            )
            for name, layer in self.layers.items()
        }

    def _supports(self, stage: Stage) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What pruning keeps of the weights as they are, and the signs that polarised layers get."""
        weights = {name: layer.weight.detach() for name, layer in self.layers.items()}
        signs = {name: s for name, layer in self.layers.items() if (s := layer.signs(weights[name])) is not None}
        solutions: list[Solution] = []
        masks = masks_of(self.layers, weights, signs, self.budgets, solutions)
        self.state.account(stage.name, len(self.state.rows), self.budgets, solutions)
        return masks, signs

    def _leave(self, stage: Stage) -> None:
        state = self.state
        if stage.name == "retrain":
            state.accuracy["pruned"] = state.rows[-1]["accuracy"] if stage.epochs else self._evaluated()
        if stage.straight_through:
            retrain.project_weights(self.layers, state.masks, state.grids, state.signs)
            if state.best is not None:
                self.model.load_state_dict(state.best["model"])
        state.stage, state.done = state.stage + 1, 0

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
        if stage.straight_through:
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
        state.rows.append(row)
        state.done += 1
        return row

    def _trained(self, stage: Stage, number: int) -> float:
        """One training pass; the mean loss."""
        state = self.state
        for group in self.optimiser.param_groups:
            group["lr"] = stage.rate(state.done, self.schedule.lr_schedule)

        def forward(inputs: Tensor) -> Any:
            if not stage.straight_through:
                return self.model(inputs)
            levels = retrain.on_levels(self.layers, state.masks, state.grids, state.signs)
            return functional_call(self.model, levels, (inputs,))

        def before_step() -> None:
            for copies in state.copies.values():
                solver.pull(copies, state.rho)
            retrain.mask_gradients(self.layers, state.masks)

        def after_step() -> None:
            retrain.apply_masks(self.layers, state.masks, state.signs)
            retrain.clamp_latent(self.layers, state.grids)

        self._start(number)
        self.model.train()
        return train_epoch(
            forward,
            self.train,
            self.loss,
            self.optimiser,
            device=self.device,
            before_step=before_step,
            after_step=after_step,
        )

    def _updated(self, stage: Stage, number: int) -> list[solver.Residuals]:
        """Update the copies if their time has come, and let rho grow."""
        state, growth = self.state, self.schedule.rho_growth
        if not stage.updates_after(state.done, self.schedule.update_every):
            return []
        solutions: list[Solution] = []
        live = solver.choose(state.copies, self.budgets if stage.prune else (), solutions)
        if stage.prune:
            state.account(stage.name, number, self.budgets, solutions)
        found = [r for name, copies in state.copies.items() for r in solver.update(copies, state.rho, live.get(name))]
        state.record(stage.name, number, found)
        for copies in state.copies.values():
            solver.rescale(copies, growth)
        state.rho *= growth
        return found

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
        self._start(self.total - stage.epochs + 1)
        with self._projected():
            loss = mean_loss(self.model, self.train, self.loss, self.device)
            if self.state.best is None or loss < self.state.best["loss"]:
                weights = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
                self.state.best = {"loss": loss, "model": weights}

    def _require_finite(self) -> None:
        for name, parameter in self.model.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise DivergenceError(f"{name} became NaN or infinite")
