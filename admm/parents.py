"""Progressive pruning that keeps several parents (Ye et al. 2018, arXiv 1810.07378).

A handful of partially pruned models is kept. To reach the next rate, each is pruned further from its own mask; the best
child is the result at that rate and takes the place of the parent it came from. AlexNet, in the paper: parents at 15×,
18× and 21×, from them 24×, then 27×, then 30×.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from admm.compress import compress
from admm.compressed import Compressed
from admm.epoch import Loss, mean_loss
from admm.job import Cost, Evaluate, OnEpoch
from admm.pins import Stuck
from admm.plan import Plan
from admm.retrain import Wrap
from hwmodels.errors import UserError

Plans = Callable[[float], Plan]


@dataclass(frozen=True, eq=False)
class Lineage:
    """The result at each rate, and a row per candidate: rate, parent (its rate, 1 the dense model), score, chosen."""

    results: dict[float, Compressed]
    candidates: pd.DataFrame


def search(
    model: nn.Module,
    plans: Plans,
    rates: Sequence[float],
    train: Iterable[tuple[Tensor, Tensor]],
    evaluate: Evaluate,
    *,
    parents: int = 3,
    score: Evaluate | None = None,
    loss: Loss = cross_entropy,
    seed: int = 0,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    on_epoch: OnEpoch | None = None,
    wrap: Wrap | None = None,
    stuck: Mapping[str, Stuck] | None = None,
    cost: Cost | None = None,
) -> Lineage:
    """Prune to ever higher rates, each from the best of several parents.

    plans(rate): the plan that prunes `rate` times. rates: ascending; the first `parents` of them are reached from the
    dense model each, and are the first parents. score(model): what decides, the larger the better; None: the negative
    training loss in evaluation mode. The test set should decide nothing. The others: as in `compress` (a checkpoint
    folder per candidate, so that an interrupted search goes on where it was).
    Raises UserError for rates that do not rise above 1 and for no parents, and what `compress` raises.
    """
    if parents < 1 or not rates or list(rates) != sorted(set(rates)) or rates[0] <= 1:
        raise UserError(f"The search needs rising rates above 1 and at least one parent, not {list(rates)}, {parents}.")

    def child(rate: float, parent: float, start: Compressed | None) -> Compressed:
        folder = None if checkpoint_dir is None else Path(checkpoint_dir) / f"{rate:g}-from-{parent:g}"
        given: dict[str, Any] = {
            "loss": loss, "seed": seed, "checkpoint_dir": folder, "teacher": model,
            "on_epoch": on_epoch, "wrap": wrap, "stuck": stuck, "cost": cost,
        }  # fmt: skip
        if start is None:
            return compress(model, plans(rate), train, evaluate, **given)
        return compress(start.model, plans(rate), train, evaluate, masks=start.masks, **given)

    standing: dict[float, Compressed] = {}
    results: dict[float, Compressed] = {}
    rows = []
    for number, rate in enumerate(rates):
        origins = [(1.0, None)] if number < parents else list(standing.items())
        best, chosen, highest = None, 1.0, -math.inf
        for parent, start in origins:
            found = child(rate, parent, start)
            value = -_mean_loss(found.model, train, loss) if score is None else float(score(found.model))
            rows.append({"rate": rate, "parent": parent, "score": value})
            if best is None or value > highest:
                best, chosen, highest = found, parent, value
        assert best is not None
        standing.pop(chosen, None)
        standing[rate] = results[rate] = best
        for row in rows[-len(origins) :]:
            row["chosen"] = row["parent"] == chosen
    return Lineage(results, pd.DataFrame(rows, columns=["rate", "parent", "score", "chosen"]))


def _mean_loss(model: nn.Module, train: Iterable[tuple[Tensor, Tensor]], loss: Loss) -> float:
    """The training loss, on the same batches for every candidate."""
    set_epoch = getattr(train, "set_epoch", None)
    if set_epoch is not None:
        set_epoch(0)
    return mean_loss(model, train, loss, next(model.parameters()).device)
