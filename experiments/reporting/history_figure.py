"""A compression's history as one picture of small panels over the epochs, every stage on its own ground."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from experiments.reporting.drawing import colour, is_narrow
from experiments.reporting.figures import percent_limits, tick

_RESIDUALS = (
    ("primal_prune", "pruning, primal", "blue", "-"),
    ("dual_prune", "pruning, dual", "blue", "--"),
    ("primal_quantise", "quantisation, primal", "red", "-"),
    ("dual_quantise", "quantisation, dual", "red", "--"),
)


PANELS = (
    ("loss", "training loss", "purple"),
    ("kept", "weights kept", "green"),
    ("tiles", "tiles", "cyan"),
)
"""Small panels below accuracy and residuals, each one column of the history; more columns follow these."""

KNOWN = ("stage", "epoch", "accuracy", "rho", "primal_prune", "dual_prune", "primal_quantise", "dual_quantise",
         *(column for column, *_ in PANELS))  # fmt: skip
"""Columns of a history that have a place of their own; any other is what the caller had counted."""


def convergence(figure: Figure, history: pd.DataFrame, training: pd.DataFrame) -> None:
    """A compression's history in small panels: accuracy and residuals, then loss, kept weights and what they take.

    history: columns stage, accuracy (fraction), loss, kept, primal_prune, dual_prune, primal_quantise, dual_quantise,
    and what was counted besides (tiles, …); a row per epoch. training: columns accuracy and loss, ahead of it. Either
    may be empty; a panel appears only where it has something to show, residuals where one is above 0.
    """
    stages = ["train"] * len(training) + [str(stage) for stage in (history["stage"] if len(history) else ())]
    panels = _panels(history, training)
    residuals = any(np.any(_trace(history, key, len(training)) > 0) for key, *_ in _RESIDUALS)
    columns = 1 if is_narrow(figure) else _columns(len(panels))
    wide, small = [1.9] + [2.2] * residuals, -(-len(panels) // columns)
    figure.set_figheight(sum(wide) + 1.45 * small + 0.5)
    grid = figure.add_gridspec(len(wide) + small, columns, height_ratios=wide + [1.45] * small)
    top = figure.add_subplot(grid[0, :])
    _accuracy(top, history, training)
    axes = [top]
    if residuals:
        axes.append(figure.add_subplot(grid[1, :], sharex=top))
        _residuals(axes[1], history, len(training), stages, narrow=is_narrow(figure))
    for number, (name, values, role) in enumerate(panels):
        line, column = divmod(number, columns)
        ax = figure.add_subplot(grid[len(wide) + line, column], sharex=top)
        _line(ax, values, color=colour(role))
        ax.set_title(name, fontsize=8.5, fontweight="normal", color=colour("muted"))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_formatter(FuncFormatter(tick))
        ax.set_ylim(bottom=0)
        axes.append(ax)
    for ax in axes:
        ax.grid(axis="y")
        _shade_stages(ax, stages, titled=ax is top)
    lowest = axes[-(1 + (len(panels) - 1) % columns if panels else 1) :]
    for ax in axes:
        ax.tick_params(labelbottom=ax in lowest)
    for ax in lowest:
        ax.set_xlabel("epoch, counted through")
    top.set_xlim(0.5, max(len(stages), 1) + 0.5)
    top.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def _columns(panels: int) -> int:
    """Columns of small panels on a wide page: as many as fill their lines best."""
    return 3 if panels in (3, 5, 6) else max(1, min(2, panels))


def _panels(history: pd.DataFrame, training: pd.DataFrame) -> list[tuple[str, np.ndarray, str]]:
    """What the small panels show: name, values over all epochs, colour."""
    more = [(name, name.replace("_", " "), "cyan") for name in history if name not in KNOWN]
    found = []
    for column, name, role in (*PANELS, *more):
        before = _trace(training, column, 0) if column == "loss" else np.full(len(training), np.nan)
        values = np.concatenate([before, _trace(history, column, 0)])
        if np.isfinite(values).any():
            found.append((name, values, role))
    return found


def _accuracy(ax: Axes, history: pd.DataFrame, training: pd.DataFrame) -> None:
    percentages = 100 * np.concatenate([_trace(training, "accuracy", 0), _trace(history, "accuracy", 0)])
    _line(ax, percentages, color=colour("after"))
    # The first epochs of training climb from chance; the frame follows what compression does.
    percent_limits(ax, percentages[len(training) // 2 :] if len(history) else percentages)
    ax.set_ylabel("accuracy (%)")


def _residuals(ax: Axes, history: pd.DataFrame, lead: int, stages: Sequence[str], *, narrow: bool) -> None:
    for key, label, role, dash in _RESIDUALS:
        trace = _trace(history, key, lead)
        if np.any(trace > 0):
            _line(ax, np.where(trace > 0, trace, np.nan), stages, color=colour(role), ls=dash, label=label)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_formatter(FuncFormatter(tick))
    ax.yaxis.set_minor_formatter(FuncFormatter(tick) if high < 10 * low else NullFormatter())
    ax.set_ylabel("relative residual")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2 if narrow else 4, fontsize=7.5)


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
