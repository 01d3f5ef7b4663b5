"""A comparison as one self-contained page: bars of what differs, the same axes for all, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.comparing import wordings
from experiments.comparing.differences import Comparison, Line
from experiments.reporting import drawing
from experiments.reporting.drawing import HUES, colour, is_narrow, labels
from experiments.reporting.figures import tick
from experiments.reporting.report import environment
from hwmodels import atomic

MOST_CHARTS = 8
"""Axes that are drawn, those that differ most."""


def write(comparison: Comparison, path: Path, command: str) -> None:
    """Write the page, whole or not at all; command: the command line that it says it came from. Raises OSError."""
    pictures = {}
    if comparison.differing:
        said = "Bars of the axes that differ most; the numbers are in the table below."
        pictures["differences"] = drawing.both_widths(lambda figure: draw(figure, comparison), "differences", said)
    first, *others = (entry.name for entry in comparison.entries)
    html = (
        environment()
        .get_template("compare.html.j2")
        .render(
            title=f"{first} against {others[0] if len(others) == 1 else f'{len(others)} others'}",
            theme=drawing.THEME,
            pictures=pictures,
            captions={"differences": _caption(comparison)},
            command=command,
            heads=wordings.heads(comparison),
            differing=wordings.rows(comparison, comparison.differing),
            same=wordings.rows(comparison, comparison.same),
            settings=wordings.setting_rows(comparison),
            setting_heads=["key", *(entry.name for entry in comparison.entries)],
            cautions=comparison.cautions,
            sources=wordings.sources(comparison),
            mark=wordings.MARK,
        )
    )
    atomic.write(path, html)


def _caption(comparison: Comparison) -> str:
    more = " The others are in the table." if len(comparison.differing) > MOST_CHARTS else ""
    pale = any(why for line in comparison.differing for why in line.why)
    mark = " Pale bars cannot be compared with the first one; the reason stands below." if pale else ""
    return f"What differs, largest difference first, each on its own axis from 0.{mark}{more}"


def draw(figure: Figure, comparison: Comparison) -> None:
    """A small chart per axis that differs, a bar per entry that states it, accuracies with their intervals."""
    lines = comparison.differing[:MOST_CHARTS]
    columns = 1 if is_narrow(figure) else min(2, len(lines))
    rows = [lines[start : start + columns] for start in range(0, len(lines), columns)]
    heights = [0.27 * max(len(_known(line)) for line in row) + 0.62 for row in rows]
    figure.set_figheight(sum(heights) + 0.1)
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for axes, row, height in zip(grid, rows, heights, strict=True):
        for ax in axes[len(row) :]:
            ax.set_axis_off()
        for ax, line in zip(axes, row, strict=False):
            _bars(ax, line, [entry.name for entry in comparison.entries], (height - 0.62) / 0.27)
            # Room for the last number behind its bar.
            ax.set_xlim(right=(1.5 if columns == 1 else 1.35) * ax.get_xlim()[1])


def _known(line: Line) -> list[int]:
    """Places of the entries that state an axis."""
    return [place for place, value in enumerate(line.numbers) if value is not None]


def _bars(ax: Axes, line: Line, names: list[str], lines: float) -> None:
    """One chart, its bars as thick as where so many lines fill it."""
    scale, known = 100 if line.metric.share else 1, _known(line)
    far = [0.0]
    for row, place in enumerate(known):
        value = scale * (line.numbers[place] or 0.0)
        faint: dict[str, Any] = {"alpha": 0.4} if line.why[place] else {}
        ax.barh(row, value, height=0.62, color=colour(HUES[place % len(HUES)]), **faint)
        end = line.ends[place]
        if end is not None:
            reach = [[value - scale * end[0]], [scale * end[1] - value]]
            ax.errorbar(value, row, xerr=reach, color=colour("ink"), elinewidth=0.9, capsize=2)
        far.append(value if end is None else scale * end[1])
        text = wordings.value(line, place).partition(" (")[0]
        at = (max(far[-1], 0.0), row)
        ax.annotate(text, at, (4, 0), textcoords="offset points", va="center_baseline", fontsize=7.5)
    ax.set_title(line.metric.words, fontsize=8.5)
    ax.set_yticks(range(len(known)), labels([names[place] for place in known], 19), color=colour("ink"))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(lines - 0.45, -0.55)
    ax.set_xlim(min(0.0, *(scale * (line.numbers[place] or 0.0) for place in known)), max(far) or 1.0)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(tick))
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
