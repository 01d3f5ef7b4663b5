"""One epoch of a stage: train, update the copies if their time has come, measure, and note it all in a row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.func import functional_call

from admm import distributed, pins, relatives, retrain, solver
from admm.compressed import HISTORY, total
from admm.constraints import Solution
from admm.epoch import DivergenceError, train_epoch
from admm.job import Cost, Job
from admm.schedules import Stage, converged, next_rho
from hwmodels.errors import UserError


def run_epoch(job: Job, stage: Stage) -> dict[str, Any]:
    """Train and update for one epoch; its row of the history.

    Raises DivergenceError, naming stage and epoch, where the loss or a weight stops being finite.
    """
    state, number = job.state, len(job.state.rows) + 1
    rho = state.rho if state.copies else math.nan
    try:
        loss = _trained(job, stage, number)
        job.require_finite()
    except DivergenceError as error:
        smaller = "learning rate or rho" if state.copies else "learning rate"
        raise DivergenceError(f"Stage {stage.name!r}, epoch {number}: {error}. Try a smaller {smaller}") from None
    found = _updated(job, stage, number)
    if stage.finishes:
        job.keep_best(stage)
    primal_prune, dual_prune = total(found, "prune")
    primal_quantise, dual_quantise = total(found, "quantise")
    row = {
        "stage": stage.name,
        "epoch": number,
        "loss": loss,
        "accuracy": job.evaluated(),
        "rho": rho,
        "primal_prune": primal_prune,
        "dual_prune": dual_prune,
        "primal_quantise": primal_quantise,
        "dual_quantise": dual_quantise,
        "kept": sum(int(state.live(name).sum()) for name in job.layers),
    }
    if job.extras.cost is not None:
        row |= _costs(job, job.extras.cost)
    state.rows.append(row)
    state.done += 1
    return row


def _costs(job: Job, cost: Cost) -> dict[str, float]:
    """What the network would cost if pruning were final now."""
    found = {name: float(value) for name, value in cost({n: job.state.live(n) for n in job.layers}).items()}
    taken = [name for name in found if name in HISTORY or name == "epochs"]
    if taken:
        raise UserError(f"cost names a column {taken[0]!r}, which the history has already. Choose another name.")
    return found


def _forward(job: Job, stage: Stage) -> Callable[[Tensor], Any]:
    """Inputs → outputs of the model as this stage trains it, with those of the teacher if there is one."""
    state, teacher = job.state, job.teacher if stage.masked else None

    def student(inputs: Tensor) -> Any:
        if not stage.straight_through:
            return job.model(inputs)
        levels = retrain.on_levels(job.layers, state.masks, state.grids, state.signs)
        return functional_call(job.model, levels, (inputs,))

    if teacher is None:
        return student
    return lambda inputs: (student(inputs), teacher.outputs(inputs))


def _trained(job: Job, stage: Stage, number: int) -> float:
    """One training pass; the mean loss."""
    state = job.state
    for group in job.optimiser.param_groups:
        group["lr"] = stage.rate(state.done, job.schedule.lr_schedule)

    def before_step() -> None:
        for copies in state.copies.values():
            solver.pull(copies, state.rho)
        retrain.mask_gradients(job.layers, state.masks)

    def after_step() -> None:
        retrain.apply_masks(job.layers, state.masks, state.signs)
        retrain.clamp_latent(job.layers, state.grids)
        if stage.masked:
            pins.hold(job.extras.stuck, state.pins, job.layers, state.masks)

    job.start(number)
    wrap = job.wrap if stage.masked else None
    job.prepare(wrap)
    job.model.train()
    with retrain.wrapped(job.layers, wrap):
        loss = train_epoch(
            _forward(job, stage),
            job.train,
            job.teacher.mixed(job.loss) if job.teacher and stage.masked else job.loss,
            job.optimiser,
            device=job.device,
            before_step=before_step,
            after_step=after_step,
            accumulate=job.schedule.accumulate,
            precision=job.schedule.precision,
        )
    distributed.share(job.model)
    return loss


def _updated(job: Job, stage: Stage, number: int) -> list[solver.Residuals]:
    """Update the copies if their time has come, and let rho move."""
    state, rho = job.state, job.state.rho
    if not stage.updates_after(state.done, job.schedule.update_every):
        return []

    def choose() -> dict[str, Tensor]:
        budgets = job.staged_budgets(stage) if stage.prune else ()
        solutions: list[Solution] = []
        live = solver.choose(state.copies, budgets, solutions, state.curvature)
        state.account(stage.name, number, budgets, solutions)
        return job.within(live)

    loss = math.nan
    if state.surrogate is not None:
        loss = job.mean_loss()
        found = relatives.update(state.copies, rho, state.surrogate, loss, job.schedule, choose)
    else:
        live = choose()
        found = [r for name, copies in state.copies.items() for r in solver.update(copies, rho, live.get(name))]
    state.record(stage.name, number, found)
    state.stopped = converged(found, rho, job.schedule.stop)
    state.rho = next_rho(rho, job.schedule, found)
    for copies in state.copies.values():
        solver.rescale(copies, state.rho / rho if job.schedule.rho_rule == "balance" else job.schedule.rho_growth)
    if state.surrogate is not None:
        state.surrogate.note(state.copies.values(), state.rho, loss)
    return found
