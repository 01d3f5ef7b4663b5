"""Search: the next points follow from the results so far, by Optuna's samplers, asked and told in batches.

A batch is chosen before any of its results is known, and told in the order in which it was asked, so the points depend
on the seed and on the results alone, not on how many workers there are or which one was faster. That is also why an
interrupted search needs no memory of its own: it asks again, gets the same points, and finds them done.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sweeping.axes import Axis, Settings
from experiments.sweeping.columns import MEASURED, direction
from experiments.sweeping.points import Point, merged
from experiments.sweeping.statistics import constraint
from hwmodels.errors import UserError, suggestion

WORST = 1e30
"""What a point without a result is told as: beyond anything that a chip costs, and finite, as samplers need it."""


class Search:
    """A multi-objective search over the axes of a sweep."""

    def __init__(self, settings: Settings, axes: Sequence[Axis]) -> None:
        """Start a study; raises UserError where Optuna is missing or an objective is no result column."""
        for name in settings.objectives:
            if name not in MEASURED:
                raise UserError(f"[sweep] objectives: there is no result {name!r}. {suggestion(name, MEASURED)}")
        try:
            import optuna  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UserError(
                'method = "search" needs the package optuna: pip install "ohmweave[search]", or choose another method.'
            ) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        assert settings.points is not None
        self._settings, self._axes = settings, axes
        self._constraints = [constraint(text) for text in settings.constraints]
        self._asked: list[Any] = []
        self._study = optuna.create_study(
            directions=[direction(name) for name in settings.objectives], sampler=self._sampler(optuna)
        )
        self.points: list[Point] = []
        self.left = settings.points

    def _sampler(self, optuna: Any) -> Any:
        beyond = (lambda trial: trial.user_attrs["excess"]) if self._constraints else None
        seed = self._settings.sampling_seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's experimental and deprecated arguments
            if self._settings.sampler == "nsga2":
                size = max(self._settings.batch, 2)
                return optuna.samplers.NSGAIISampler(population_size=size, seed=seed, constraints_func=beyond)
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True, constraints_func=beyond)

    def ask(self) -> list[Point]:
        """The next batch of points; their results are due with `tell`."""
        count = min(self._settings.batch, self.left)
        self._asked = [self._study.ask() for _ in range(count)]
        batch = []
        for trial in self._asked:
            row = [_suggested(trial, axis) for axis in self._axes]
            batch.append(Point(len(self.points) + len(batch), merged(self._axes, row)))
        self.points += batch
        self.left -= count
        return batch

    def tell(self, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """The results of the last batch, by the points' numbers."""
        first = len(self.points) - len(self._asked)
        for offset, trial in enumerate(self._asked):
            row = rows[first + offset]
            trial.set_user_attr("excess", self._excess(row))
            self._study.tell(trial, [self._value(name, row) for name in self._settings.objectives])

    def _value(self, name: str, row: Mapping[str, Any]) -> float:
        value = row.get(name)
        if value is None or not math.isfinite(value):
            return -WORST if direction(name) == "maximize" else WORST
        return float(value)

    def _excess(self, row: Mapping[str, Any]) -> list[float]:
        """How far beyond each constraint a point is, in units of the limit; a failed point is far beyond all."""
        if row["status"] == "failed":
            return [WORST] * max(len(self._constraints), 1)
        return [
            item.excess(float(row[item.column])) / (abs(item.limit) or 1.0) if row.get(item.column) is not None else 0.0
            for item in self._constraints
        ] or [0.0]


def _suggested(trial: Any, axis: Axis) -> tuple[Any, ...]:
    """One axis' values as a trial suggests them: ascending numbers by their place, so that neighbours are near."""
    if axis.values is None:
        suggest = trial.suggest_int if axis.whole else trial.suggest_float
        return (suggest(axis.name, axis.low, axis.high, log=axis.log),) * len(axis.keys)
    first = [row[0] for row in axis.values]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in first)
    if numbers and first == sorted(first):
        return axis.values[trial.suggest_int(axis.name, 0, len(first) - 1)]
    return axis.values[trial.suggest_categorical(axis.name, list(range(len(first))))]
