"""The tornado picture: which number of the library, moved from its low to its high end, moves a total most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.reporting.drawing import colour, is_narrow, labels
from experiments.reporting.wording import number, quantity, share

MAX_BARS = 8
"""Numbers that are drawn for a total, those with the largest swing."""

SMALLEST = 0.01
"""Numbers with a smaller share of the largest swing are not drawn."""

LETTERS = 24
"""Letters of a name beside a bar."""

TITLES = {"area_mm2": ("area", "mm²"), "power_mw": ("power", "mW")}
"""The totals that the report draws: name and unit."""

ENDS = (("total_low", "number at its low end", "cyan"), ("total_high", "number at its high end", "red"))


def table(result: Any) -> pd.DataFrame:
    """What the ranges of the library do to each total of `TITLES`, of an `hwmodels.Estimate`.

    Columns: total, total_value, and those of `Estimate.tornado`; rows by total, then by falling swing; numbers that do
    not move the total are left out.
    """
    parts = []
    for total in TITLES:
        frame = result.tornado(total)
        frame.insert(0, "total", total)
        frame.insert(1, "total_value", float(result.totals[total]))
        parts.append(frame[frame["swing"] > 0])
    return pd.concat(parts, ignore_index=True)


def rows(uncertain: pd.DataFrame) -> list[list[str]]:
    """Rows for a table of the numbers that are drawn: total, number, its range, the total at both ends, the swing."""
    found = []
    for total, (name, unit) in TITLES.items():
        for row in _drawn(uncertain, total).to_dict("records"):
            low, high = (quantity(row[end], unit) for end in ("total_low", "total_high"))
            found.append([f"{name}: {_name(row)}", _range(row), low, high, share(row["swing_share"])])
    return found


def draw(figure: Figure, uncertain: pd.DataFrame) -> None:
    """Tornado charts of area and power, a bar for each number of the library that states a range.

    uncertain: as `table` makes it. A bar reaches from the total with only this number at its low end to that with it at
    its high end; the line in the middle is the total with every number as stated.
    """
    drawn = {total: _drawn(uncertain, total) for total in TITLES}
    narrow = is_narrow(figure)
    lines = [max(1, len(frame)) for frame in drawn.values()]
    if not narrow:
        lines = [max(lines)] * len(lines)
    tall = [0.36 * count + 0.75 for count in lines]
    figure.set_figheight(0.3 + (sum(tall) if narrow else max(tall)))
    grid = figure.subplots(2, 1, height_ratios=tall) if narrow else figure.subplots(1, 2)
    for ax, count, (total, frame) in zip(grid, lines, drawn.items(), strict=True):
        _bars(ax, frame, f"{TITLES[total][0]} ({TITLES[total][1]})", count)
    handles = {}
    for ax in grid:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=2, handlelength=1.2)


def _drawn(uncertain: pd.DataFrame, total: str) -> pd.DataFrame:
    """The rows of one total that are drawn."""
    mine: Any = uncertain[uncertain["total"] == total]
    return mine[mine["swing"] >= SMALLEST * mine["swing"].max()].head(MAX_BARS)


def _name(row: Any) -> str:
    return f"{row['component']} {row['quantity']}"


def _range(row: Any) -> str:
    unit = row["unit"].replace("um2", "µm²").replace("mm2", "mm²").replace("us", "µs")
    return f"{number(row['low'])} … {number(row['high'])}\u00a0{unit}"


def _bars(ax: Axes, frame: pd.DataFrame, title: str, lines: int) -> None:
    """One chart, its bars as tall as where `lines` of them fill it; each name with the range of its number below."""
    ax.set_xlabel(title)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    if frame.empty:
        ax.annotate("no number that states a range moves it", (0, 1), (0, -12), "axes fraction", "offset points")
        ax.set_xticks([])
        ax.set_yticks([])
        return
    places, middle = np.arange(len(frame)), float(frame["total_value"].iloc[0])
    for end, label, role in ENDS:
        reach = frame[end].to_numpy(dtype=float) - middle
        ax.barh(places, reach, left=middle, height=0.42, color=colour(role), label=label)
    ends = frame[["total_low", "total_high"]].to_numpy(dtype=float)
    low, high = min(ends.min(), middle), max(ends.max(), middle)
    room = 0.03 * (high - low)
    ax.set_xlim(low - room, high + room)
    ax.axvline(middle, color=colour("ink"), linewidth=0.9)
    rows = frame.to_dict("records")
    names = labels([_name(row) for row in rows], LETTERS)
    ax.set_yticks(places, [""] * len(rows))
    for place, name, row in zip(places, names, rows, strict=True):
        style: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
        ax.annotate(name, (0, place), (-5, 1), va="bottom", color=colour("ink"), **style)
        ax.annotate(_range(row), (0, place), (-5, -1), va="top", color=colour("muted"), fontsize=7.5, **style)
    ax.set_ylim(lines - 0.45, -0.55)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    ax.grid(axis="x")
