"""The pictures of the report: accuracy through the stages, cost before and after, convergence.

Each takes a Figure whose width it keeps and whose height it sets (see `drawing`), and its data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from experiments.reporting.drawing import colour, is_narrow, labels, span
from experiments.reporting.wording import known, number, percent

MAX_ROWS = 24
"""Pairs of bars in a breakdown; more layers stand together with their neighbours, small components as one rest."""


# --- accuracy ------------------------------------------------------------------------------------------------------


def accuracy(figure: Figure, values: Mapping[str, Any], decimals: int = 1) -> None:
    """Accuracy through the stages, with the interval and the single seeds on crossbars.

    values: the record's `accuracy` (fractions). A stage that is not known is left out.
    """
    stages = ("dense", "pruned", "quantised", "crossbar_mean")
    found = [(key, 100 * values[key]) for key in stages if known(values.get(key))]
    seeds = 100 * np.asarray([s for s in values.get("crossbar_seeds") or () if known(s)], dtype=float)
    figure.set_figheight(2.7)
    ax = figure.add_subplot()
    heights = np.asarray([height for _, height in found], dtype=float)
    ax.plot(range(len(found)), heights, color=colour("line"), zorder=1)
    last = len(found) - 1
    on_crossbars = bool(found) and found[-1][0] == "crossbar_mean"
    before = last if on_crossbars else last + 1
    ax.plot(range(before), heights[:before], "o", color=colour("before"), markersize=7, zorder=3)
    if on_crossbars:
        _crossbar_point(ax, last, values, seeds)
    for place, height in enumerate(heights):
        beside = place == last and on_crossbars
        # Below a valley, so that the lines to the neighbours do not cross the number.
        below = 0 < place < last and height < min(heights[place - 1], heights[place + 1])
        ax.annotate(
            percent(height / 100, decimals),
            (place, height),
            _aside(heights, place) if beside else (0, -8 if below else 8),
            textcoords="offset points",
            ha="right" if beside else "center",
            va="center" if beside else "top" if below else "bottom",
        )
    last_name = "crossbars" if is_narrow(figure) else "on crossbars"
    names = [last_name if key == "crossbar_mean" else key for key, _ in found]
    ax.set_xticks(range(len(found)), names, color=colour("ink"))
    ax.set_xlim(-0.45, max(last, 0) + 0.45)
    ends = [100 * values[key] for key in ("crossbar_low", "crossbar_high") if known(values.get(key))]
    _percent_limits(ax, np.concatenate([heights, seeds, ends]))
    ax.grid(axis="y")
    ax.set_ylabel("accuracy (%)")


def _aside(heights: np.ndarray, place: int) -> tuple[float, float]:
    """Left of the point, on the side of the arriving line that is free."""
    return (-8, 10 if place and heights[place - 1] < heights[place] else -10)


def _crossbar_point(ax: Axes, place: int, values: Mapping[str, Any], seeds: np.ndarray) -> None:
    mean = 100 * values["crossbar_mean"]
    if len(seeds) > 1:
        # A fixed fan instead of random jitter: the picture must not change from run to run.
        fan = place + 0.14 + 0.12 * (np.arange(len(seeds)) * 0.618 % 1)
        ax.plot(fan, seeds, "o", color=colour("after"), markersize=3, alpha=0.65, markeredgewidth=0, zorder=2)
    low, high = values.get("crossbar_low"), values.get("crossbar_high")
    if len(seeds) > 1 and low is not None and high is not None and known(low) and known(high):
        ax.errorbar(
            place,
            mean,
            yerr=[[max(0.0, mean - 100 * low)], [max(0.0, 100 * high - mean)]],
            color=colour("after"),
            capsize=4,
            elinewidth=1.4,
            zorder=3,
        )
    ax.plot([place], [mean], "o", color=colour("after"), markersize=7, zorder=4)


def _percent_limits(ax: Axes, heights: np.ndarray) -> None:
    """Limits [%] around the points, at least two points apart so that noise never fills the picture."""
    heights = heights[np.isfinite(heights)]
    if not heights.size:
        ax.set_ylim(0, 100)
        return
    low, high = float(heights.min()), float(heights.max())
    margin = max(0.25 * (high - low), 0.5 * max(0.0, 2 - (high - low)), 0.3)
    ax.set_ylim(low - margin, max(min(high + margin, 100.4), high + 0.4))
    ax.yaxis.set_major_locator(MaxNLocator(5))


# --- cost ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One cost before and after, a pair for each name; NaN: not known."""

    names: list[str]
    baseline: np.ndarray
    placed: np.ndarray


def compare(
    baseline: pd.DataFrame, placed: pd.DataFrame, by: str, value: str, limit: int | None = MAX_ROWS
) -> Comparison:
    """Sum one cost by component or layer, before and after.

    baseline, placed: tables with the columns `by` ("component" or "layer") and `value`. Components come largest first,
    layers in their own order. Beyond `limit` rows (None: no limit) the smallest components are summed in a last row,
    and consecutive layers in rows like "conv1 + 2", that one and the next two. What a table does not name costs 0
    there; a sum with something unknown in it is not known (NaN).
    """
    sums = [_sums(table, by, value) for table in (baseline, placed)]
    names = list(dict.fromkeys([*sums[0], *sums[1]]))
    if by == "component":
        names.sort(key=lambda name: -np.nanmax([0.0, *(part.get(name, 0.0) for part in sums)]))
    groups = _grouped(names, by, limit or max(1, len(names)))
    before, after = (
        np.asarray([sum(part.get(name, 0.0) for name in group) for group in groups.values()], dtype=float)
        for part in sums
    )
    return Comparison(names=list(groups), baseline=before, placed=after)


def _sums(table: pd.DataFrame, by: str, value: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, amount in zip(table[by], table[value], strict=True):
        sums[str(name)] = sums.get(str(name), 0.0) + float(amount)
    return sums


def _grouped(names: list[str], by: str, limit: int) -> dict[str, list[str]]:
    """At most `limit` rows: label, and the names that it sums."""
    if len(names) <= limit:
        return {name: [name] for name in names}
    if by == "component":
        rest = names[limit - 1 :]
        return {name: [name] for name in names[: limit - 1]} | {f"{len(rest)} others": rest}
    step = -(-len(names) // limit)
    groups = [names[start : start + step] for start in range(0, len(names), step)]
    return {span(group): group for group in groups}


def breakdown(figure: Figure, baseline: pd.DataFrame, placed: pd.DataFrame, by: str) -> None:
    """Area and power before and after, a pair of bars per component or per layer.

    baseline, placed: tables with columns layer, component, area_mm2 [mm²], power_mw [mW]; by: "component" or "layer".
    A quantity that is not known (NaN) is written as such instead of a bar.
    """
    costs = [compare(baseline, placed, by, value) for value in ("area_mm2", "power_mw")]
    narrow = is_narrow(figure)
    height = 0.31 * max(1, *(len(cost.names) for cost in costs)) + 0.75
    figure.set_figheight(2 * height + 0.3 if narrow else height + 0.3)
    grid = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
    for ax, cost, title in zip(grid, costs, ("area (mm²)", "power (mW)"), strict=True):
        _paired_bars(ax, cost, title, 17 if narrow else 22)
    handles, texts = grid[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper left", ncols=2, handlelength=1.2)


def _paired_bars(ax: Axes, cost: Comparison, title: str, letters: int) -> None:
    places = np.arange(len(cost.names))
    largest = float(np.nan_to_num(np.concatenate([cost.baseline, cost.placed]), nan=0.0).max(initial=0.0)) or 1.0
    for values, label, role, offset in (
        (cost.baseline, "unpruned baseline", "before", -0.2),
        (cost.placed, "compressed and placed", "after", 0.2),
    ):
        ax.barh(places + offset, np.nan_to_num(values, nan=0.0), height=0.36, color=colour(role), label=label)
        for place, value in zip(places, values, strict=True):
            at = (value if np.isfinite(value) else 0.0, place + offset)
            text = number(value) if np.isfinite(value) else "not known"
            ax.annotate(text, at, (3, 0), textcoords="offset points", va="center_baseline", fontsize=7.5)
    ax.set_yticks(places, labels(cost.names, letters), color=colour("ink"))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(len(cost.names), 1) - 0.45, -0.55)
    ax.set_xlim(0, 1.22 * largest)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(_tick))
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_xlabel(title)


def _tick(value: float, _: object = None) -> str:
    """The number of a tick without the zeros that tell digits of a measurement."""
    mantissa, times, power = number(value).partition("\u00a0×")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + times + power


# --- convergence ---------------------------------------------------------------------------------------------------

_RESIDUALS = (
    ("primal_prune", "pruning, primal", "blue", "-"),
    ("dual_prune", "pruning, dual", "blue", "--"),
    ("primal_quantise", "quantisation, primal", "red", "-"),
    ("dual_quantise", "quantisation, dual", "red", "--"),
)


def convergence(figure: Figure, history: pd.DataFrame, training: pd.DataFrame) -> None:
    """Accuracy over all epochs, training included, and below it the ADMM residuals (logarithmic).

    history: columns stage, accuracy (fraction), primal_prune, dual_prune, primal_quantise, dual_quantise; a row per
    epoch. training: column accuracy. Either may be empty; the residuals appear only where one is above 0.
    """
    stages = ["train"] * len(training) + [str(stage) for stage in (history["stage"] if len(history) else ())]
    traces = {key: _trace(history, key, len(training)) for key, *_ in _RESIDUALS}
    residuals = any(np.any(trace > 0) for trace in traces.values())
    figure.set_figheight(4.4 if residuals else 2.5)
    axes = np.atleast_1d(figure.subplots(2 if residuals else 1, 1, sharex=True))
    percentages = 100 * np.concatenate([_trace(training, "accuracy", 0), _trace(history, "accuracy", 0)])
    _line(axes[0], percentages, color=colour("after"))
    # The first epochs of training climb from chance; the frame follows what compression does.
    _percent_limits(axes[0], percentages[len(training) // 2 :] if len(history) else percentages)
    axes[0].set_ylabel("accuracy (%)")
    if residuals:
        for key, label, role, dash in _RESIDUALS:
            if np.any(traces[key] > 0):
                trace = np.where(traces[key] > 0, traces[key], np.nan)
                _line(axes[1], trace, stages, color=colour(role), ls=dash, label=label)
        axes[1].set_yscale("log")
        low, high = axes[1].get_ylim()
        axes[1].yaxis.set_major_formatter(FuncFormatter(_tick))
        axes[1].yaxis.set_minor_formatter(FuncFormatter(_tick) if high < 10 * low else NullFormatter())
        axes[1].set_ylabel("relative residual")
        figure.legend(
            *axes[1].get_legend_handles_labels(), loc="outside lower left", ncols=2 if is_narrow(figure) else 4
        )
    for ax in axes:
        ax.grid(axis="y")
        _shade_stages(ax, stages, titled=ax is axes[0])
    axes[-1].set_xlim(0.5, max(len(stages), 1) + 0.5)
    axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes[-1].set_xlabel("epoch, counted through")


def _trace(table: pd.DataFrame, column: str, lead: int) -> np.ndarray:
    """A column as floats behind `lead` unknown ones; a missing column is all unknown."""
    values = table[column].to_numpy(dtype=float, na_value=np.nan) if column in table else np.full(len(table), np.nan)
    return np.concatenate([np.full(lead, np.nan), values])


def _line(ax: Axes, values: np.ndarray, stages: Sequence[str] = (), **style: Any) -> None:
    """The known values over the epoch, points where they are few; interrupted where another stage comes between."""
    at = np.flatnonzero(np.isfinite(values))
    breaks = [place for place, (a, b) in enumerate(pairwise(at.tolist()), start=1) if len(set(stages[a : b + 1])) > 1]
    x, y = np.insert(at + 1.0, breaks, np.nan), np.insert(values[at], breaks, np.nan)
    ax.plot(x, y, marker="o" if len(at) <= 60 else "", markersize=2.5, **style)


def _shade_stages(ax: Axes, stages: Sequence[str], *, titled: bool) -> None:
    """Every other stage on a tinted ground, its name above where it has room."""
    changes = [i for i in range(1, len(stages)) if stages[i] != stages[i - 1]]
    edges = [0, *changes, len(stages)]
    inch = ax.figure.get_figwidth() * 0.85 / max(len(stages), 1)  # type: ignore[union-attr]
    for turn, (start, stop) in enumerate(pairwise(edges)):
        if turn % 2:
            ax.axvspan(start + 0.5, stop + 0.5, color=colour("band"), zorder=0, linewidth=0)
        if titled and stop > start and (stop - start) * inch > 0.075 * len(stages[start]):
            ax.annotate(
                stages[start],
                ((start + stop + 1) / 2, 1),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=colour("muted"),
                fontsize=7.5,
            )
