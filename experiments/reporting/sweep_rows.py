"""The tables of a sweep's page as rows of text: front, heat map, shares, points, failures, swept keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting import heat
from experiments.reporting.pareto import front
from experiments.reporting.point_table import (
    Measure,
    unit_note,
    value_text,
)
from experiments.reporting.sweep_view import View, bars
from experiments.reporting.wording import UNKNOWN, count, share

MAX_FRONT_ROWS = 60
"""Rows of the table of the front."""


SHOWN_FAILURES = 20
"""Different messages that the page lists."""


def front_rows(made: View, x: Measure, y: Measure) -> dict[str, Any]:
    """The front of two results as a table: heads and rows; of points that coincide the first, with their number."""
    x_values, y_values = made.of(x), made.of(y)
    on = np.flatnonzero(front(x_values, y_values, x_up=x.up, y_up=y.up))
    order = on[np.lexsort((on, x_values[on]))]
    groups: dict[tuple[float, float], list[int]] = {}
    for row in order:
        groups.setdefault((float(x_values[row]), float(y_values[row])), []).append(int(row))
    keys = [key for factor in made.factors for key in factor.keys]
    rows = []
    for members in list(groups.values())[:MAX_FRONT_ROWS]:
        row = members[0]
        more = f" and {len(members) - 1} more" if len(members) > 1 else ""
        cells = [f"{made.table['point'].iloc[row]}{more}", *(value_text(made.table[key].iloc[row]) for key in keys)]
        rows.append([*cells, x.text(x_values[row]), _y_text(made, y, row, y_values[row])])
    return {
        "heads": [made.noun, *keys, x.label, y.label],
        "rows": rows,
        "note": _front_note(made, x, y, len(on), len(groups)),
    }


def _front_note(made: View, x: Measure, y: Measure, points: int, rows: int) -> str:
    cut = f" The first {MAX_FRONT_ROWS} are listed." if rows > MAX_FRONT_ROWS else ""
    ways = ", ".join(f"{'more' if measure.up else 'less'} {measure.label}" for measure in (x, y))
    return f"{count(points)} of {count(made.done.sum())} {made.noun}s are on the front (better: {ways}).{cut}"


def _y_text(made: View, measure: Measure, row: int, value: float) -> str:
    return interval(made, row) if measure.column == "accuracy_crossbar_mean" else measure.text(value)


def interval(made: View, row: int) -> str:
    """The accuracy of a point on crossbars, with its interval where it has one."""
    mean, low, high = (
        float(made.table[f"accuracy_crossbar_{end}"].iloc[row]) if f"accuracy_crossbar_{end}" in made.table else np.nan
        for end in ("mean", "low", "high")
    )
    if np.isfinite(low) and np.isfinite(high) and low < high:
        return f"{100 * mean:.2f}\u00a0% ({100 * low:.2f} to {100 * high:.2f}\u00a0%)"
    return f"{100 * mean:.2f}\u00a0%"


def heat_rows(made: View) -> dict[str, Any] | None:
    """The heat maps, and the one that is shown at first."""
    found = heat.scales(made.factors)
    results = [measure for measure in made.varying if measure.column]
    if not found or not results:
        return None
    pairs = heat.maps(found, results, made.table)
    ranked = sorted(range(len(found)), key=lambda place: -_weight(made, found[place].name, results[0]))
    chosen = {ranked[0], ranked[min(1, len(ranked) - 1)]}
    first = next((pair for pair in pairs if {pair["rows"], pair["cols"]} - {None} == chosen), pairs[0])
    return {
        "scales": [{"name": scale.name, "labels": scale.labels} for scale in found],
        "pairs": pairs,
        "results": results,
        "first": _heat_table(first, found, results[0]),
        "rows": first["rows"],
        "cols": first["cols"],
        "left_out": [factor.name for factor in made.factors if factor.name not in {scale.name for scale in found}],
        "palette": heat.palette(),
    }


def _weight(made: View, key: str, measure: Measure) -> float:
    shares = made.shares.get(measure.column)
    return (shares.main.get(key) or 0.0) if shares else 0.0


def _heat_table(pair: Mapping[str, Any], found: Sequence[heat.Scale], measure: Measure) -> dict[str, Any]:
    """A heat map of means as rows of fields (text, ground, colour), with its heads."""
    values = pair["values"][measure.column]["mean"]
    known = [value for row in values for value in row if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    colours = heat.palette()
    rows = [
        [
            (UNKNOWN, "", "")
            if value is None
            else (measure.bare(value), *heat.shade((value - low) / (high - low) if high > low else 0.5, colours))
            for value in row
        ]
        for row in values
    ]
    return {
        "rows": rows,
        "row_labels": [""] if pair["rows"] is None else found[pair["rows"]].labels,
        "col_labels": found[pair["cols"]].labels,
        "row_name": "" if pair["rows"] is None else found[pair["rows"]].name,
        "col_name": found[pair["cols"]].name,
        "caption": f"{measure.title}: {_fields(pair['values'][measure.column]['n'])}",
        "low": measure.text(low) if known else UNKNOWN,
        "high": measure.text(high) if known else UNKNOWN,
    }


def _fields(counts: list[list[int]]) -> str:
    """How many points a field of a heat map stands for."""
    many = sorted({n for row in counts for n in row if n})
    if many in ([], [1]):
        return "one point a field"
    return f"mean over the other keys, {many[0] if len(many) == 1 else f'{many[0]} to {many[-1]}'} points a field"


def sensitivity_rows(made: View) -> dict[str, Any] | None:
    """The shares of variance as a table, and how they were found; None where there are none."""
    found = [measure for measure in made.varying if measure.column in made.shares]
    if not found or not bars(made):
        return None
    rows = []
    for factor in made.factors:
        shares = [made.shares[measure.column].main[factor.name] for measure in found]
        rows.append([factor.name, *(share(value) for value in shares)])
    if exact(made):
        rests = [made.shares[measure.column].rest for measure in found]
        rows.append(["keys together, and chance", *(share(_tiny(value)) for value in rests)])
    return {"heads": ["key", *(measure.label for measure in found)], "rows": rows, "method": _method(made)}


def _tiny(value: float) -> float:
    """Rounding of a sum that is exactly 1 is not an effect."""
    return 0.0 if abs(value) < 1e-9 else value


def _method(made: View) -> str:
    """How the shares were found."""
    said = []
    if exact(made):
        said.append(
            "The points are a complete grid: the shares are exact for it, each value as likely as the others "
            "(analysis of variance; first-order Sobol indices)."
        )
    if not all(shares.exact for shares in made.shares.values()):
        said.append(
            "Where points are no complete grid, shares are estimated (correlation ratio, ε²: values in classes, chance "
            "taken out); they are a little low for keys with many values, and overlap where keys do not vary "
            "independently, as in a search."
        )
    noise = made.shares["accuracy_crossbar_mean"].noise if "accuracy_crossbar_mean" in made.shares else np.nan
    if np.isfinite(noise):
        said.append(f"Chance between chips makes up {share(min(noise, 1.0))} of the variance of the accuracy.")
    return " ".join(said)


def exact(made: View) -> bool:
    """Whether some shares are those of a complete grid, with a remainder that has a meaning."""
    return any(shares.exact for shares in made.shares.values())


def point_rows(made: View) -> dict[str, Any]:
    """The table of points: columns (name, words or not, what it means), and the cells of each row."""
    found = made.listed
    columns = [(made.noun, "number", "its number in results.parquet")]
    columns += [(key, "word" if made.table[key].dtype.kind not in "iufb" else "number", "") for key in made.keys]
    columns += [("status", "word", unit_note("status"))]
    columns += [(measure.title, "number", unit_note(measure.column)) for measure in found]
    table: Any = made.table[made.shown]
    parts = [table["point"].astype(str).tolist()]
    parts += [[value_text(value) for value in table[key]] for key in made.keys]
    parts += [table["status"].tolist()]
    parts += [[measure.bare(value) for value in measure.of(table)] for measure in found]
    return {"columns": columns, "rows": list(zip(*parts, strict=True)), "total": len(made.table)}


def failure_rows(made: View) -> list[list[str]]:
    """Points without a result by what they say: points, status, message."""
    rest = made.table[~made.done]
    groups: dict[tuple[str, str], list[int]] = {}
    for point, status, message in zip(rest["point"], rest["status"], rest["message"], strict=True):
        groups.setdefault((status, _general(message)), []).append(int(point))
    messages = dict(zip(rest["point"], rest["message"], strict=True))
    rows = []
    for (status, general), points in sorted(groups.items(), key=lambda group: -len(group[1])):
        some = ", ".join(map(str, points[:8])) + (f" and {count(len(points) - 8)} more" if len(points) > 8 else "")
        rows.append([some, status, messages[points[0]] if len(points) == 1 else general])
    hidden = rows[SHOWN_FAILURES:]
    return rows[:SHOWN_FAILURES] + (
        [[f"{count(len(hidden))} more", "", "other messages; see the table"]] if hidden else []
    )


def _general(message: str) -> str:
    """A message without its point's own numbers, so that points that fail alike stand together."""
    head, mark, tail = message.partition(" breaks ")
    return f"{head.split(' = ')[0]}{mark}{tail}" if mark else message


def swept_rows(made: View) -> list[list[str]]:
    """The swept keys: how many values, from where to where, and which."""
    rows = []
    for key in made.keys:
        values = pd.unique(made.table[key].to_numpy())
        some = [value_text(value) for value in values[:12]]
        rows.append([key, count(len(values)), ", ".join(some) + (" …" if len(values) > 12 else "")])
    return rows
