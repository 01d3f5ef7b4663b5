"""A table of points and what its pages, pictures and tables all need of it, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting import sensitivity, sweep_figures
from experiments.reporting.pareto import front
from experiments.reporting.point_table import (
    MAIN,
    Factor,
    Measure,
    factors,
    listed,
    measures,
    swept_keys,
    varying,
)

MAX_POINTS = 2000
"""Points that a page holds; of more, all Pareto fronts and an even sample."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A table of points and what is worked out of it once.

    table: all points; noun: what a point is called ("point" or "run"); about: where it comes from, or None;
    shown: (points,) bool, which are on the page; measures: results known at a point that is done; listed: those of the
    table of points.
    """

    table: pd.DataFrame
    noun: str
    about: Mapping[str, Any] | None
    keys: list[str]
    factors: list[Factor]
    measures: list[Measure]
    listed: list[Measure]
    varying: list[Measure]
    shown: np.ndarray
    shares: dict[str, sensitivity.Shares] = field(default_factory=dict)

    @property
    def done(self) -> np.ndarray:
        """Points that came to a result: (points,) bool."""
        return (self.table["status"] == "done").to_numpy()

    def of(self, measure: Measure) -> np.ndarray:
        """A result at the points that came to one, NaN elsewhere: (points,)."""
        return np.where(self.done, measure.of(self.table), np.nan)

    def axes(self) -> tuple[Measure, Measure] | None:
        """The results on the axes of the front at first: accuracy over area, or what varies."""
        up = [measure for measure in self.varying if measure.up]
        down = [measure for measure in self.varying if not measure.up]
        if up and down:
            return down[0], up[0]
        return (self.varying[0], self.varying[1]) if len(self.varying) > 1 else None


def view(table: pd.DataFrame, about: Mapping[str, Any] | None = None, noun: str = "point") -> View:
    """Work out what the page of a table needs; table: as `experiments.load_results` gives it."""
    found = measures(table)
    made = View(
        table=table,
        noun=noun,
        about=about,
        keys=swept_keys(table),
        factors=factors(table),
        measures=found,
        listed=listed(table),
        varying=varying(found, table),
        shown=np.ones(len(table), dtype=bool),
    )
    made.shown[:] = _chosen(made)
    made.shares.update(_shares(made))
    return made


def _chosen(made: View) -> np.ndarray:
    """The points on the page: all, or the fronts of every two results and one of every stretch of the table."""
    total = len(made.table)
    if total <= MAX_POINTS:
        return np.ones(total, dtype=bool)
    # One at random from each stretch: a fixed step would fall in with the steps of a grid.
    edges = np.linspace(0, total, MAX_POINTS + 1).astype(int)
    picks = np.random.default_rng(0).integers(edges[:-1], edges[1:])
    chosen = np.zeros(total, dtype=bool)
    chosen[picks] = True
    values = [(measure, made.of(measure)) for measure in made.varying]
    for place, (x, x_values) in enumerate(values):
        for y, y_values in values[place + 1 :]:
            on = np.flatnonzero(front(x_values, y_values, x_up=x.up, y_up=y.up))
            # Of points with the same two results one stands for all.
            _, first = np.unique(np.stack([x_values[on], y_values[on]]), axis=1, return_index=True)
            chosen[on[first]] = True
    return chosen


def _shares(made: View) -> dict[str, sensitivity.Shares]:
    columns = {factor.name: factor.column for factor in made.factors}
    complete = sensitivity.is_complete(columns)
    found = {}
    for measure in made.varying:
        if measure.column in MAIN and columns:
            shares = sensitivity.shares(
                columns, made.of(measure), complete=complete, error_variance=_error_variance(made, measure)
            )
            if shares is not None:
                found[measure.column] = shares
    return found


def _error_variance(made: View, measure: Measure) -> np.ndarray | None:
    """Variance of the mean over chips at each point, in the unit of the page."""
    if measure.column != "accuracy_crossbar_mean":
        return None
    std, chips = (
        made.table[name].to_numpy(dtype=float, na_value=np.nan) for name in ("accuracy_crossbar_std", "chips")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chips > 1, (measure.scale * std) ** 2 / chips, np.nan)


def panels(made: View) -> list[sweep_figures.Panel]:
    """The pairs of results that the still picture shows: the accuracy over every cost, or what varies in pairs."""
    axes = made.axes()
    if axes is None:
        return []
    costs = [measure for measure in made.varying if measure.column in MAIN[1:5] and measure is not axes[1]]
    xs = costs if axes[0] in costs else [axes[0]]
    return [sweep_figures.Panel(x=x, y=axes[1], x_values=made.of(x), y_values=made.of(axes[1])) for x in xs[:4]]


def bars(made: View) -> list[sweep_figures.Bars]:
    """The shares of each result, for the picture."""
    found = []
    short = [factor.short for factor in made.factors]
    names = {f.name: f.short if short.count(f.short) == 1 else f.name for f in made.factors}
    for measure in made.varying:
        shares = made.shares.get(measure.column)
        if shares is None:
            continue
        told = sorted(((v, k) for k, v in shares.main.items() if v is not None), key=lambda pair: -pair[0])
        if told:
            keys, values = [names[key] for _, key in told], [value for value, _ in told]
            found.append(sweep_figures.Bars(title=measure.label, keys=keys, shares=values, rest=shares.rest))
    return found
