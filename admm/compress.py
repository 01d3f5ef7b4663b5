"""The whole of a compression: the stages one after the other, a checkpoint after every epoch, a check at the end."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from admm import distributed, retrain
from admm import state as states
from admm.compressed import CHOICES, RESIDUALS, Compressed, history_table
from admm.epoch import DivergenceError, Loss, own_randomness
from admm.job import Cost, Evaluate, Extras, Job, OnEpoch
from admm.pins import Stuck
from admm.plan import Plan
from admm.stage_epoch import run_epoch
from admm.transitions import enter, leave
from hwmodels.errors import UserError


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
        (see `retrain.wrapped`); if it has a method `prepare`, that is called with the model, its masks and its level
        grids before every such epoch; `evaluate` sees the plain model. An interrupted run repeats bit for bit if the
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
    extras = Extras(masks or {}, teacher, wrap, stuck or {}, cost)
    with own_randomness(model) as reseed:
        job = Job(model, plan, train, evaluate, loss, functools.partial(reseed, seed), extras)
        identity = states.fingerprint(plan, seed, job.model, extras.tensors())
        if checkpoint_dir is not None:
            _resume(job, checkpoint_dir, identity)
            distributed.barrier()  # nobody overwrites what another still reads
        try:
            for row in _epochs(job):
                if checkpoint_dir is not None and distributed.rank() == 0:
                    states.save(checkpoint_dir, identity, job.state, job.model, job.optimiser)
                if on_epoch is not None:
                    on_epoch(row)
        except DivergenceError as error:
            kept = checkpoint_dir is not None and job.state.rows
            raise UserError(f"{error}{'; the last good checkpoint is kept' if kept else ''}.") from None
        return _result(job)


def _resume(job: Job, folder: str | os.PathLike[str], identity: str) -> None:
    """Go on from the last saved epoch, if there is one."""
    found = states.load(folder, identity, job.layers, job.model, job.optimiser)
    if found is None:
        return
    job.state = found
    staged = job.staged(job.stages[found.stage])
    for name, copies in found.copies.items():
        copies.layer = staged[name]


def _epochs(job: Job) -> Iterator[dict[str, Any]]:
    """All epochs from where the run stands, a row after each."""
    state = job.state
    while state.stage < len(job.stages):
        stage = job.stages[state.stage]
        if state.done == 0:  # state is saved after epochs only, so a resumed stage has one behind it
            enter(job, stage)
        while state.done < stage.epochs and not state.stopped:
            yield {**run_epoch(job, stage), "epochs": job.total}
        leave(job, stage)


def _result(job: Job) -> Compressed:
    """The finished compression; a constraint that does not hold exactly is a bug and stops everything."""
    accuracy = job.state.accuracy
    accuracy["quantised"] = job.evaluated() if job.state.grids else accuracy["pruned"]
    compressed = Compressed(
        model=job.model.eval(),
        masks=job.state.masks,
        grids=job.state.grids,
        history=history_table(job.state.rows),
        residuals=pd.DataFrame(job.state.residuals, columns=list(RESIDUALS)),
        stages=accuracy,
        layers={name: layer.plan() for name, layer in job.layers.items()},
        budgets=job.budgets,
        choices=pd.DataFrame(job.state.choices, columns=list(CHOICES)),
    )
    violations = compressed.violations()
    if any(violations.values()):
        raise RuntimeError(f"the compressed model breaks its own constraints: {violations}")
    return compressed
