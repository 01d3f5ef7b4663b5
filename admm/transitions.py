"""From one stage to the next: masks, signs and grids are fixed, copies begin or go on, accuracies are noted."""

from __future__ import annotations

import torch
from torch import Tensor

from admm import pins, relatives, retrain, solver
from admm.constraints import Solution
from admm.job import Job
from admm.layers import masks_of
from admm.schedules import Stage, inner_layers, make_optimiser
from crossbar.levels import LevelGrid


def enter(job: Job, stage: Stage) -> None:
    """What must stand before the stage's first epoch."""
    state = job.state
    if stage.prune:
        job.measure_curvature()
    if stage.decides:
        _decide(job, stage)
    elif stage.masked and not state.masks:
        state.masks = {name: torch.ones_like(each.weight, dtype=torch.bool) for name, each in job.layers.items()}
        state.masks = pins.alive(job.extras.stuck, state.masks)
    if stage.name in ("quantise", "finish") and "pruned" not in state.accuracy:
        state.accuracy["pruned"] = job.evaluated()  # there was nothing to prune
    if stage.straight_through:
        state.grids = {**_grids(job), **state.grids}
    if stage.masked and job.extras.stuck:
        _pin(job)
    state.copies = _copies(job, stage)
    job.optimiser = make_optimiser(job.model, job.schedule)
    if job.schedule.solver == "slr" and state.copies:
        state.surrogate = relatives.begin(state.copies.values(), state.rho, job.mean_loss(), job.schedule)
    if stage.finishes:
        job.keep_best(stage)


def leave(job: Job, stage: Stage) -> None:
    """What follows the stage's last epoch."""
    state = job.state
    if stage.name == "retrain":
        state.accuracy["pruned"] = state.rows[-1]["accuracy"] if stage.epochs else job.evaluated()
    if stage.finishes:
        retrain.project_weights(job.layers, state.masks, state.grids, state.signs)
        if state.best is not None:
            job.model.load_state_dict(state.best["model"])
    state.stage, state.done, state.stopped = state.stage + 1, 0, False
    state.surrogate = None


def _decide(job: Job, stage: Stage) -> None:
    """Fix the pruning at what the weights are now, within what an earlier round left."""
    state = job.state
    masks, state.signs = _supports(job, stage)
    state.masks = pins.alive(job.extras.stuck, masks)
    retrain.apply_masks(job.layers, state.masks, state.signs)


def _grids(job: Job) -> dict[str, LevelGrid]:
    """The grids of all layers that have none yet, for the live weights as they are."""
    layers = {name: layer for name, layer in job.layers.items() if name not in job.state.grids}
    inner = job.stages[job.state.stage].name == "quantise"
    if inner:
        layers = {name: layer for name, layer in layers.items() if name in inner_layers(job.layers)}
    return retrain.fit_grids(layers, pins.free(job.extras.stuck, job.state.masks))


def _pin(job: Job) -> None:
    """Set pinned weights to their values, on the final levels or on those that fit now."""
    state, stuck = job.state, job.extras.stuck
    grids = {**retrain.fit_grids(job.layers, pins.free(stuck, state.masks)), **state.grids}
    state.pins = pins.pinned(stuck, grids, job.layers)
    pins.hold(stuck, state.pins, job.layers, state.masks)


def _copies(job: Job, stage: Stage) -> dict[str, solver.Copies]:
    """Those of the stage before go on under the mask; otherwise ADMM begins anew, with the first rho."""
    state = job.state
    if not (stage.prune or stage.quantise):
        return {}
    if stage.masked and state.copies and not stage.straight_through:
        return {
            name: solver.under_mask(copies, state.masks[name], state.signs.get(name))
            for name, copies in state.copies.items()
        }
    state.rho = job.schedule.rho
    masks, signs = _supports(job, stage) if stage.prune else (state.masks, state.signs)
    return {
        name: solver.begin(
            layer,
            masks.get(name),
            prune=stage.prune,
            quantise=stage.quantise and _pulled(job, stage, name),
            signs=signs.get(name),
        )
        for name, layer in job.staged(stage).items()
    }


def _pulled(job: Job, stage: Stage, name: str) -> bool:
    """Whether a layer is pulled to its levels: not once it stands on them, and the ends not before the rest."""
    return name not in job.state.grids and (not stage.inner or name in inner_layers(job.layers))


def _supports(job: Job, stage: Stage) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What pruning keeps of the weights as they are, and the signs that polarised layers get."""
    layers, budgets = job.staged(stage), job.staged_budgets(stage)
    weights = {name: layer.weight.detach() for name, layer in layers.items()}
    signs = {name: s for name, layer in layers.items() if (s := layer.signs(weights[name])) is not None}
    solutions: list[Solution] = []
    masks = masks_of(layers, weights, signs, budgets, solutions, job.state.curvature)
    job.state.account(stage.name, len(job.state.rows), budgets, solutions)
    return job.within(masks), signs
