"""The still pictures of a sweep: Pareto fronts, and which key matters.

Each takes a Figure whose width it keeps and whose height it sets (see `drawing`), and its data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from experiments.reporting.drawing import colour, is_narrow, labels
from experiments.reporting.pareto import front
from experiments.reporting.point_table import Measure
from experiments.reporting.wording import number

MAX_DOTS = 300
"""Points behind the front that a panel draws; of more, an even selection."""

MAX_BARS = 10
"""Keys that a panel of shares draws."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Two results against each other: values (points,) of x and y in the units of the page."""

    x: Measure
    y: Measure
    x_values: np.ndarray
    y_values: np.ndarray


def fronts(figure: Figure, panels: Sequence[Panel]) -> None:
    """A panel for every pair of results: the front as a line with points, all else pale behind it."""
    narrow = is_narrow(figure)
    columns = 1 if narrow or len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure.set_figheight(2.45 * rows + 0.35)
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for ax, panel in zip(grid, panels, strict=False):
        _front(ax, panel)
    for ax in grid[len(panels) :]:
        ax.set_axis_off()
    handles, texts = grid[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper left", ncols=2, handlelength=1.6)


def _front(ax: Axes, panel: Panel) -> None:
    on = front(panel.x_values, panel.y_values, x_up=panel.x.up, y_up=panel.y.up)
    behind = np.flatnonzero(~on & np.isfinite(panel.x_values) & np.isfinite(panel.y_values))
    if len(behind) > MAX_DOTS:
        behind = behind[np.linspace(0, len(behind) - 1, MAX_DOTS).astype(int)]
    ax.plot(
        panel.x_values[behind], panel.y_values[behind], "o",
        color=colour("before"), markersize=2.6, alpha=0.55, markeredgewidth=0, label="other points",
    )  # fmt: skip
    at = np.flatnonzero(on)
    at = at[np.lexsort((panel.y_values[at], panel.x_values[at]))]
    ax.plot(
        panel.x_values[at], panel.y_values[at], "o-",
        color=colour("after"), markersize=4, linewidth=1, drawstyle=_steps(panel), label="Pareto front",
    )  # fmt: skip
    known = panel.x_values[np.isfinite(panel.x_values)]
    if len(known) and known.min() > 0 and known.max() > 30 * known.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 3.0), numticks=6))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(_tick))
    ax.grid(axis="both")
    ax.set_xlabel(panel.x.title)
    ax.set_ylabel(panel.y.title)


def _steps(panel: Panel) -> str:
    """What is in reach between two points of the front is what the better of both costs, not a straight line."""
    return "steps-pre" if panel.x.up else "steps-post"


def _tick(value: float, _: object = None) -> str:
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else number(value, 2)


@dataclass(frozen=True, kw_only=True)
class Bars:
    """The shares of one result by key, largest first; rest: what no key explains by itself (NaN: not told)."""

    title: str
    keys: Sequence[str]
    shares: Sequence[float]
    rest: float


def sensitivity(figure: Figure, bars: Sequence[Bars]) -> None:
    """A panel of bars for every result: how much of its variance each key explains by itself."""
    narrow = is_narrow(figure)
    columns = 1 if narrow or len(bars) == 1 else 2
    rows = -(-len(bars) // columns)
    lines = max(len(panel.keys) for panel in bars) + 1
    figure.set_figheight((0.2 * min(lines, MAX_BARS + 1) + 0.62) * rows)
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for ax, panel in zip(grid, bars, strict=False):
        _shares(ax, panel, 20)
    for ax in grid[len(bars) :]:
        ax.set_axis_off()


def _shares(ax: Axes, panel: Bars, letters: int) -> None:
    keys, values = list(panel.keys)[:MAX_BARS], list(panel.shares)[:MAX_BARS]
    colours = [colour("after")] * len(keys)
    if np.isfinite(panel.rest):
        keys, values, colours = [*keys, "together, chance"], [*values, panel.rest], [*colours, colour("before")]
    places = np.arange(len(keys))
    ax.barh(places, [100 * value for value in values], height=0.62, color=colours)
    for place, value in zip(places, values, strict=True):
        text = f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"
        ax.annotate(text, (100 * value, place), (3, 0), textcoords="offset points", va="center_baseline", fontsize=7.5)
    ax.set_yticks(places, labels(keys, letters), color=colour("ink"))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(keys) - 0.45, -0.55)
    ax.set_xlim(0, 115)
    ax.set_xticks([0, 25, 50, 75, 100])
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_title(panel.title)
