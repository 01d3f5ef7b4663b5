"""The pictures of the report: accuracy through the stages, cost before and after.

Each takes a Figure whose width it keeps and whose height it sets (see `drawing`), and its data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

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
    percent_limits(ax, np.concatenate([heights, seeds, ends]))
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


def percent_limits(ax: Axes, heights: np.ndarray) -> None:
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


TITLES = {"area_mm2": "area (mm²)", "power_mw": "power (mW)", "energy_nj": "energy (nJ)", "latency_us": "latency (µs)"}
"""What each broken-down cost is called on its axis."""


def breakdown(figure: Figure, costs: Mapping[str, Comparison]) -> None:
    """Costs before and after, a pair of bars per component or per layer, a chart for each cost.

    costs: by column of the cost tables, a key of `TITLES`. A quantity that is not known (NaN) is written as such
    instead of a bar.
    """
    narrow = is_narrow(figure)
    height = 0.31 * max(1, *(len(cost.names) for cost in costs.values())) + 0.75
    columns = 1 if narrow else min(2, len(costs))
    lines = -(-len(costs) // columns)
    figure.set_figheight(lines * height + 0.3)
    grid = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    for ax, (column, cost) in zip(grid, costs.items(), strict=False):
        _paired_bars(ax, cost, TITLES[column], 17 if narrow else 22)
    for ax in grid[len(costs) :]:
        ax.set_axis_off()
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
    ax.xaxis.set_major_formatter(FuncFormatter(tick))
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_xlabel(title)


def tick(value: float, _: object = None) -> str:
    """The number of a tick without the zeros that tell digits of a measurement."""
    mantissa, times, power = number(value).partition("\u00a0×")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + times + power
