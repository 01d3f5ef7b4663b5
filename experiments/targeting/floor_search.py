"""The smallest hardware budget that keeps an accuracy floor on held-out samples: bisection over budgets, warm starts.

Between the least and the most that the layers can cost, the geometric mean is tried; a budget that keeps the floor
becomes the upper end (at what its network really takes), one that does not the lower end. The first try starts from the
dense network with the whole schedule, the next ones from the smallest network that kept the floor with half of it.
Accuracy need not fall evenly with the budget, so the search is a heuristic: what it returns keeps the floor, and
smaller budgets that keep it may exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

import admm
from admm import Compressed, Plan
from admm.constraints import Budget
from admm.history import Masks
from experiments import training
from experiments.progress import Progress
from experiments.run_folder import read_json, write_json
from experiments.setup import Setup
from hwmodels.errors import UserError

TRIES = 6
"""Budgets that a search tries at most; the ends of the bracket are then (largest / smallest)^(1/64) apart."""
TRIED = "checkpoint/search.json"
"""Where the finished tries are listed, in the folder of the compression."""
_CLOSE = 1e-3
"""Budgets nearer to one another than this share are one."""


def smallest(
    setup: Setup,
    folder: Path,
    dense: nn.Module,
    evaluate: Callable[[nn.Module], float],
    cost: Callable[[Masks], dict[str, float]],
    progress: Progress,
) -> Compressed:
    """The network of the smallest budget found that keeps compress.accuracy_floor.

    setup: with a target without a limit, and held-out samples. dense: the trained network. evaluate, cost: for the
    histories only. Every finished try is kept in the folder, and one that was interrupted goes on from its last epoch.
    Raises UserError when even the largest budget does not keep the floor.
    """
    return _Search(setup, folder, dense, evaluate, cost, progress).run()


def held_out_accuracy(setup: Setup, network: nn.Module) -> float:
    """Accuracy on the samples that a floor keeps from training."""
    return training.accuracy(network, setup.batches("validation"))


@dataclass(frozen=True)
class _Search:
    setup: Setup
    folder: Path
    dense: nn.Module
    evaluate: Callable[[nn.Module], float]
    cost: Callable[[Masks], dict[str, float]]
    progress: Progress

    def run(self) -> Compressed:
        """Bracket and bisect; with no success at all, the largest budget is the last try."""
        tries: list[dict[str, Any]] = read_json(self.folder / TRIED) or []
        bracket = Bracket.of(self.budget.smallest, self.budget.largest, self._step())
        for number in range(TRIES + 1):
            limit = bracket.middle() if number < TRIES else None
            if limit is None and bracket.best is not None:
                break
            if number == len(tries):
                tries.append(self._tried(number, self.budget.largest if limit is None else limit, bracket.best))
                write_json(self.folder / TRIED, tries)
            bracket.narrowed(number, tries[number], self.floor)
            if limit is None:
                break
        if bracket.best is None:
            reached = max(row["held_out"] for row in tries)
            raise UserError(
                f"No budget keeps compress.accuracy_floor = {self.floor:g} on the held-out samples; the best of "
                f"{len(tries)} tries reached {reached:.4f}. Lower the floor, or train longer."
            )
        return Compressed.load(self._place(bracket.best), self.dense)

    @property
    def floor(self) -> float:
        """The least accuracy on the held-out samples."""
        floor = self.setup.config.compress.accuracy_floor
        assert floor is not None
        return floor

    @property
    def budget(self) -> Budget:
        """The budget of the plan, whose limit is tried out."""
        return next(budget for budget in self.setup.plan.budgets if isinstance(budget, Budget))

    def _step(self) -> int:
        """What all costs are multiples of, where they are counts (arrays come in pairs, say); else 0."""
        if self.setup.target is None or self.setup.target.kind not in ("arrays", "reduction"):
            return 0
        return math.gcd(*(round(option.cost) for options in self.budget.options.values() for option in options))

    def _tried(self, number: int, limit: float, start: int | None) -> dict[str, Any]:
        """One compression, from the dense network or from the network of an earlier try."""
        plan = _tightened(self.setup.plan, limit, halved=start is not None)
        network = self.dense if start is None else Compressed.load(self._place(start), self.dense).model
        with self.progress.task(f"Budget {number + 1}: {self._words(limit)}") as task:
            made = admm.compress(
                network,
                plan,
                self.progress.track(self.setup.compression_batches(), "epoch"),
                self.evaluate,
                seed=self.setup.config.seed,
                checkpoint_dir=self._place(number) / "checkpoint",
                on_epoch=lambda row: task.advance(detail=f"{row['stage']}, epoch {row['epoch']} of {row['epochs']}"),
                cost=self.cost,
                wrap=self.setup.wrapper(),
                stuck=self.setup.stuck,
            )
        made.save(self._place(number))
        accuracy = held_out_accuracy(self.setup, made.model)
        self.progress.note(f"{self._words(limit)}: {100 * accuracy:.2f} % of the held-out samples.")
        return {
            "limit": limit,
            "cost": float(made.choices["total"].iloc[-1]),
            "held_out": accuracy,
            "start": start,
            "epochs": len(made.history),
        }

    def _words(self, limit: float) -> str:
        target = self.setup.target
        assert target is not None
        return target.text(self.budget.largest / limit if target.kind == "reduction" else limit)

    def _place(self, number: int) -> Path:
        return (self.folder / TRIED).parent / f"try-{number + 1}"


@dataclass
class Bracket:
    """What is left of the range of budgets: `low` and less do not keep the floor, try `best` does at `high`.

    smallest: the least that is possible; step: budgets are multiples of it; 0: any numbers.
    """

    smallest: float
    low: float
    high: float
    step: int
    best: int | None = None

    @staticmethod
    def of(smallest: float, largest: float, step: int) -> Bracket:
        """The whole range, `smallest` within it."""
        return Bracket(smallest, smallest - step if step else smallest * (1 - 2 * _CLOSE), largest, step)

    def middle(self) -> float | None:
        """The next limit to try; None when the bracket is closed."""
        middle = math.sqrt(max(self.low, self.smallest) * self.high)
        if self.step:
            middle = max(middle // self.step * self.step, self.low + self.step)
        middle = max(middle, self.smallest)
        inside = self.low * (1 + _CLOSE) < middle < self.high * (1 - _CLOSE)
        return float(middle) if inside else None

    def narrowed(self, number: int, row: dict[str, Any], floor: float) -> None:
        """Take in a try."""
        if row["held_out"] >= floor:
            self.high, self.best = row["cost"], number
        else:
            self.low = row["limit"]


def _tightened(plan: Plan, limit: float, *, halved: bool) -> Plan:
    """The plan with another limit; from a warm start its stages take half of their epochs."""
    budgets = tuple(replace(b, limit=limit) if isinstance(b, Budget) else b for b in plan.budgets)
    s = plan.schedule
    if halved:
        stages = ("admm_epochs", "retrain_epochs", "quantise_epochs", "finish_epochs")
        shorter = {stage: math.ceil(epochs / 2) for stage in stages if (epochs := getattr(s, stage)) is not None}
        s = replace(s, **shorter)
    return replace(plan, budgets=budgets, schedule=s)
