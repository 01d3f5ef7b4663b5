"""What the page of a sweep, or of several runs, says: a table of points turned into sentences.

The template prints what `contents` returns; the page's script sorts, filters and draws again what is here already.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting import sweep_figures
from experiments.reporting.page import flat_settings, moment
from experiments.reporting.point_table import (
    MAIN,
    Factor,
    configuration,
    value_text,
)
from experiments.reporting.sweep_rows import (
    exact,
    failure_rows,
    front_rows,
    heat_rows,
    interval,
    point_rows,
    sensitivity_rows,
    swept_rows,
)
from experiments.reporting.sweep_view import View, panels
from experiments.reporting.wording import count, duration, number, plural


def contents(made: View, title: str) -> dict[str, Any]:
    """Everything that the template prints, as text and rows, and the data of its script."""
    axes = made.axes()
    return {
        "title": title,
        "noun": made.noun,
        "when": _when(made),
        "asked": _asked(made),
        "command": (made.about or {}).get("command"),
        "answer": _answer(made),
        "highlights": _highlights(made),
        "thinned": _thinned(made),
        "axes": axes,
        "panels": bool(panels(made)),
        "front": front_rows(made, *axes) if axes else None,
        "captions": captions(made),
        "heat": heat_rows(made),
        "sensitivity": sensitivity_rows(made),
        "points": point_rows(made),
        "failures": failure_rows(made),
        "config": _config(made),
        "swept": swept_rows(made),
        "versions": (made.about or {}).get("versions", {}),
        "places": _places(made),
        "seeds": seeds(made),
        "filter_example": _filter_example(made),
        "footer": _footer(made),
    }


def _when(made: View) -> str:
    about = made.about or {}
    parts = [moment(about["created"])] if about.get("created") else []
    return " · ".join([*parts, plural(len(made.table), made.noun)])


def _asked(made: View) -> str:
    total = plural(len(made.table), made.noun)
    if not made.factors:
        return f"{total}; no key takes more than one value." if made.keys else f"{total}."
    ways = {
        "grid": "every combination",
        "random": "chosen at random",
        "latin-hypercube": "a Latin hypercube",
        "search": "chosen by a search",
    }
    method = (made.about or {}).get("settings", {}).get("method")
    how = f", {ways[method]}" if method in ways else ""
    return f"{total}{how}: {'; '.join(_factor_text(factor) for factor in made.factors)}."


def _factor_text(factor: Factor) -> str:
    values = pd.unique(factor.column)
    if np.issubdtype(factor.column.dtype, np.number):
        low, high = value_text(values.min()), value_text(values.max())
        if len(values) > 8:
            return f"{factor.name} from {low} to {high} ({count(len(values))} values)"
        values = np.sort(values)
    elif len(values) > 8:
        return f"{factor.name} with {count(len(values))} values"
    return f"{factor.name} = {', '.join(factor.labels[value] for value in values)}"


def _answer(made: View) -> str:
    states = Counter(made.table["status"])
    total = plural(len(made.table), made.noun)
    if not states["done"]:
        return f"None of the {total} is done; why is said under Failures."
    said = [f"{count(states['done'])} of {total} came to a result."]
    if states["done"] < len(made.table):
        rest = [f"{count(states[name])} {name}" for name in ("infeasible", "failed") if states[name]]
        said[0] = said[0][:-1] + f" ({', '.join(rest)})."
    accuracy, area = made.table.get("accuracy_crossbar_mean"), made.table.get("area_mm2")
    if accuracy is not None and area is not None and accuracy[made.done].notna().any():
        said.append(_bargain(made))
    return " ".join(said)


LOSS = 0.01
"""Accuracy that the small chip of the answer may lose against the most accurate point [fraction]."""


def _bargain(made: View) -> str:
    """The most accurate point, and the smallest chip that is nearly as good."""
    accuracy = made.table["accuracy_crossbar_mean"].where(made.done).to_numpy(dtype=float)
    area = made.table["area_mm2"].where(made.done).to_numpy(dtype=float)
    best = int(np.nanargmax(accuracy))
    near = np.where(accuracy >= accuracy[best] - LOSS, area, np.nan)
    text = f"The most accurate reaches {interval(made, best)} at {_named(made, best)}"
    if not np.isfinite(near).any():
        return f"{text}."
    small = int(np.nanargmin(near))
    if small == best:
        return f"{text}, and no {made.noun} within {100 * LOSS:g} point of it takes less area."
    less = f"{number(area[small])}\u00a0mm² instead of {number(area[best])}\u00a0mm²"
    return (
        f"{text}; the smallest chip that loses at most {100 * LOSS:g} point of that takes {less}, "
        f"with {interval(made, small)} at {_named(made, small)}."
    )


def _named(made: View, row: int) -> str:
    keys = [key for factor in made.factors for key in factor.keys]
    return configuration(made.table, row, keys) or f"{made.noun} {made.table['point'].iloc[row]}"


LEAST = {"arrays": "fewest", "area_mm2": "smallest"}
"""What the least of a result is called where "lowest" is not the word."""


def _highlights(made: View) -> list[tuple[str, str, str]]:
    """The best value of each main result: label, value, where."""
    found = []
    for measure in made.measures:
        if measure.column in MAIN:
            values = made.of(measure)
            at = int(np.nanargmax(values) if measure.up else np.nanargmin(values))
            word = "highest" if measure.up else LEAST.get(measure.column, "lowest")
            where = f"{made.noun} {made.table['point'].iloc[at]}"
            found.append((f"{word} {measure.label}", measure.text(float(values[at])), where))
    return found[:6]


def _thinned(made: View) -> str:
    total, shown = len(made.table), int(made.shown.sum())
    if shown == total:
        return ""
    return (
        f"{count(total)} points are too many for a page: it holds {count(shown)} of them, those on the Pareto front of "
        "any two results and one at random from every stretch of the table. Heat maps, shares of variance and the "
        "sentences above are of all points; all are in results.parquet and results.csv."
    )


def captions(made: View) -> dict[str, str]:
    """A caption for each picture."""
    found = panels(made)
    thin = f" Of the points behind the front at most {sweep_figures.MAX_DOTS} are drawn in each."
    many = int(made.done.sum()) > sweep_figures.MAX_DOTS
    return {
        "fronts": f"The Pareto front: {made.noun}s that no other beats in both results; the line is what is in reach "
        f"between them.{thin if many else ''}"
        if found
        else "",
        "sensitivity": "Share of a result’s variance that each key explains by itself (first-order effect)"
        + ("; grey: what only keys together explain, and chance." if exact(made) else "."),
    }


def alternatives() -> dict[str, str]:
    """What each picture shows, in words, for readers who cannot see it."""
    return {
        "fronts": "Scatter plots of results with their Pareto fronts; the front is listed in the table below.",
        "sensitivity": "Bars of the share of variance that each key explains; the numbers are in the table below.",
    }


def _config(made: View) -> dict[str, list[tuple[str, str]]]:
    config = (made.about or {}).get("config")
    return flat_settings(config) if config else {}


def _places(made: View) -> list[tuple[str, str]]:
    about = made.about or {}
    settings = about.get("settings", {})
    rows = [
        (key, str(settings[key]))
        for key in ("method", "points", "sampling_seed", "interval", "max_seeds")
        if key in settings
    ]
    rows += [(key, ", ".join(settings[key])) for key in ("constraints", "objectives") if settings.get(key)]
    rows += [("store", about["store"])] if about.get("store") else []
    rows += [("time of the last call", duration(about["seconds"]))] if about.get("seconds") is not None else []
    return rows


def _filter_example(made: View) -> str:
    """A comparison that the filter of this page understands."""
    numbers = [factor for factor in made.factors if np.issubdtype(factor.column.dtype, np.number)]
    if numbers:
        return f"{numbers[0].keys[0].rpartition('.')[2]}>={value_text(numbers[0].column[0])}"
    return "area_mm2<1"


def _footer(made: View) -> str:
    if made.noun == "run":
        return "Every number on this page is in the result.json of its run."
    about = made.about or {}
    name = f"Sweep {about['name']}-{about['digest']}. " if about.get("digest") else ""
    return f"{name}Every number on this page is in results.parquet and results.csv or follows from them."


def seeds(made: View) -> str:
    """How many chips the accuracies rest on."""
    chips = made.table["chips"].to_numpy(dtype=float, na_value=np.nan) if "chips" in made.table else np.empty(0)
    chips = chips[np.isfinite(chips)]
    if not chips.size:
        return "No chip was simulated."
    low, high = int(chips.min()), int(chips.max())
    many = plural(low, "chip") if low == high else f"{low} to {high} chips"
    return f"Accuracies on crossbars are means over {many} a point, with 95 % intervals of the mean (Student’s t)."
