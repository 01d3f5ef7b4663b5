"""Where accuracy is lost, as bars: each error switched on in turn, and beside it what each loses alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.reporting.drawing import colour, is_narrow
from experiments.reporting.wording import percent, plain, plural, points
from experiments.waterfall import ERRORS, interaction

Lost = Mapping[str, Any]
"""The record's `waterfall`."""

NAMES = {"dense": "trained", "pruned": "pruned", "quantised": "on levels", "map": "on ideal arrays"}
NAMES |= {name: error.words for name, error in ERRORS.items()}
"""What each step is called."""

MEANING = {
    "dense": "the trained network",
    "pruned": "groups removed, the rest retrained",
    "quantised": "weights on the conductance levels",
    "map": "inputs as codes; cells, wires and converters ideal",
    "program": "cells miss their targets",
    "stuck": "faulty cells",
    "drift": "cells have moved since they were written, or are warm",
    "drivers": "word-line drivers err",
    "wires": "lines, drivers and read-outs have resistance",
    "read": "every read draws anew",
    "adc": "sums become codes",
}
"""What each step switches on."""


def rows(lost: Lost, decimals: int) -> list[list[str]]:
    """Rows of the table: step, what it switches on, accuracy, change in turn with its interval, change alone."""
    alone = {row["key"]: row for row in lost["alone"]}
    return [
        [
            NAMES[row["key"]],
            MEANING[row["key"]],
            percent(row["accuracy"], decimals),
            change_text(row, decimals),
            change_text(alone[row["key"]], decimals) if row["key"] in alone else "",
        ]
        for row in lost["steps"]
    ]


def keys(lost: Lost) -> list[list[str]]:
    """The keys of the record behind the cells of `rows`, "" where there is none."""
    alone = {row["key"] for row in lost["alone"]}
    return [
        [
            "",
            "",
            f"waterfall.steps.{row['key']}.accuracy",
            "" if row["change"] is None else f"waterfall.steps.{row['key']}.change",
            f"waterfall.alone.{row['key']}.change" if row["key"] in alone else "",
        ]
        for row in lost["steps"]
    ]


def change_text(row: Mapping[str, Any], decimals: int) -> str:
    """A change in points with its interval."""
    if row["change"] is None:
        return ""
    if row["change_low"] is None:
        return points(row["change"], decimals)
    low, high = (points(row[f"change_{end}"], decimals) for end in ("low", "high"))
    return f"{points(row['change'], decimals)} ({low} to {high})"


def sentence(lost: Lost, decimals: int) -> str:
    """What costs most, and whether the errors add up."""
    found = sorted((row for row in lost["steps"] if row["change"] is not None), key=lambda row: row["change"])
    worst = found[0]
    if worst["change"] >= 0:
        return "No step loses accuracy."
    after = sum(row["change"] for row in lost["alone"])
    more = interaction(lost)
    said = (
        f"Most is lost to the step “{NAMES[worst['key']]}”, {points(worst['change'], decimals)} points. In turn, every "
        "error comes on top of those above it, in the order in which a signal meets them."
    )
    if lost["alone"]:
        apart, together = points(after, decimals), points(after + more, decimals)
        said += f" Alone on ideal arrays they come to {apart} points in all, together to {together}"
        said += "." if apart == together else ": the difference is how they interact."
    return said


def caption(lost: Lost, decimals: int) -> str:
    """What the picture shows."""
    many = lost["chips"] > 1
    over = f", the mean of {plural(lost['chips'], 'chip')}" if many else ""
    bars = " Thin bars: 95 % interval of the change, each chip against itself." if many else ""
    return (
        f"Accuracy on {plural(lost['samples'], 'test sample')}{over}, as errors are switched on in turn, and the "
        f"points that each loses alone on ideal arrays.{bars} {sentence(lost, decimals)}"
    )


def alternative(lost: Lost, decimals: int) -> str:
    """What the picture shows, in words."""
    steps = ", ".join(f"{NAMES[row['key']]} {percent(row['accuracy'], decimals)}" for row in lost["steps"])
    alone = ", ".join(f"{NAMES[row['key']]} {points(row['change'], decimals)}" for row in lost["alone"])
    return plain(f"Waterfall of accuracy: {steps}." + (f" Points lost alone: {alone}." if alone else ""))


def draw(figure: Figure, lost: Lost, decimals: int = 1) -> None:
    """Floating bars from step to step, and bars of the points that each error loses alone, on the same lines."""
    steps, alone = lost["steps"], {row["key"]: row for row in lost["alone"]}
    narrow = is_narrow(figure)
    tall = 0.3 * len(steps) + 0.7
    own = 0.3 * max(len(alone), 1) + 0.7
    figure.set_figheight((tall + own if narrow and alone else tall) + 0.1)
    if narrow and alone:
        left, right = figure.subplots(2, 1, height_ratios=[tall, own])
    elif alone:
        left, right = figure.subplots(1, 2, width_ratios=[1.7, 1], sharey=True)
    else:
        left, right = figure.subplots(1, 1), None
    _in_turn(left, steps, decimals, 0.34 if narrow else 0.22)
    if right is not None:
        _alone(right, [row["key"] for row in steps] if not narrow else list(alone), alone, decimals, named=narrow)


def _in_turn(ax: Axes, steps: list[dict[str, Any]], decimals: int, room_share: float) -> None:
    """Bars from step to step; room_share: for the first number, left of the lowest bar, as a share of the reach."""
    heights = [100 * row["accuracy"] for row in steps]
    reach = _reach(steps, heights)
    room = max(room_share * (reach[1] - reach[0]), 0.4)
    for place, (row, height) in enumerate(zip(steps, heights, strict=True)):
        last = heights[place - 1] if place else None
        _step(ax, place, row, height, last)
        words = percent(row["accuracy"], decimals) if last is None else points(row["change"], decimals)
        if place == len(steps) - 1:
            words = f"{points(row['change'], decimals)} → {percent(row['accuracy'], decimals)}"
        end = min(height if last is None else min(height, last), 100 * row["accuracy"] + 100 * (row["change_low"] or 0)
                  - 100 * (row["change"] or 0) if row["change_low"] is not None else height)  # fmt: skip
        ax.annotate(words, (end, place), (-5, 0), textcoords="offset points", ha="right", va="center_baseline",
                    fontsize=7.5)  # fmt: skip
        if place + 1 < len(steps):
            ax.plot([height, height], [place, place + 1], color=colour("line"), linewidth=0.8, zorder=1)
    ax.set_xlim(reach[0] - room, reach[1] + 0.05 * room + 0.15)
    _lines(ax, [NAMES[row["key"]] for row in steps])
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel("accuracy (%), in turn")


def _reach(steps: list[dict[str, Any]], heights: list[float]) -> tuple[float, float]:
    """Between which accuracies [%] the bars and their intervals lie; two points at least."""
    ends = [
        height + 100 * (row[end] - row["change"])
        for row, height in zip(steps, heights, strict=True)
        for end in ("change_low", "change_high")
        if row[end] is not None
    ]
    low, high = min([*heights, *ends]), max([*heights, *ends])
    middle = (low + high) / 2
    return min(low, middle - 1), max(high, middle + 1)


def _step(ax: Axes, place: int, row: Mapping[str, Any], height: float, last: float | None) -> None:
    if last is None:
        ax.plot([height], [place], "o", color=colour("before"), markersize=6, zorder=3)
        return
    role = "red" if height < last else "green"
    ax.barh(place, height - last, left=last, height=0.5, color=colour(role), zorder=2)
    if height == last:
        ax.plot([height, height], [place - 0.25, place + 0.25], color=colour("muted"), linewidth=1.4, zorder=2)
    _whisker(ax, place, height, row)


def _whisker(ax: Axes, place: int, at: float, row: Mapping[str, Any]) -> None:
    """The interval of a change around its end [%]."""
    if row["change_low"] is None:
        return
    ends = [[100 * (row["change"] - row["change_low"])], [100 * (row["change_high"] - row["change"])]]
    ax.errorbar(at, place, xerr=np.maximum(ends, 0), color=colour("ink"), elinewidth=0.9, capsize=2, zorder=4)


def _alone(ax: Axes, keys: list[str], alone: Mapping[str, Any], decimals: int, *, named: bool) -> None:
    ends = [0.0]
    for place, key in enumerate(keys):
        if key not in alone:
            continue
        row = alone[key]
        change = 100 * row["change"]
        ax.barh(place, change, height=0.5, color=colour("red" if change < 0 else "green"), zorder=2)
        _whisker(ax, place, change, row)
        low = change if row["change_low"] is None else 100 * row["change_low"]
        ends += [change, low, change if row["change_high"] is None else 100 * row["change_high"]]
        ax.annotate(points(row["change"], decimals), (min(low, 0.0), place), (-5, 0), textcoords="offset points",
                    ha="right", va="center_baseline", fontsize=7.5)  # fmt: skip
    span = max(max(ends) - min(ends), 1.0)
    ax.set_xlim(min(ends) - 0.3 * span, max(ends) + 0.05 * span)
    ax.axvline(0, color=colour("muted"), linewidth=0.8, zorder=1)
    if named:
        _lines(ax, [NAMES[key] for key in keys])
    else:
        _plain(ax)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    ax.set_xlabel("points, each alone")


def _lines(ax: Axes, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), names, color=colour("ink"))
    ax.set_ylim(len(names) - 0.45, -0.55)
    _plain(ax)


def _plain(ax: Axes) -> None:
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
