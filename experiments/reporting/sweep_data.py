"""What the script of a sweep's page reads: the points by column, and the heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.reporting.point_table import (
    MAIN,
)
from experiments.reporting.sweep_rows import heat_rows
from experiments.reporting.sweep_view import View
from experiments.sweeping.columns import COUNTS


def data(made: View) -> dict[str, Any]:
    """What the page's script reads: the points on the page by column, and the heat maps. JSON-able."""
    table: Any = made.table[made.shown]
    found = heat_rows(made)
    axes = made.axes()
    return {
        "noun": made.noun,
        "axes": [axis.column for axis in axes] if axes else [],
        "keys": made.keys,
        "varied": [key for factor in made.factors for key in factor.keys],
        "measures": [
            {"column": m.column, "label": m.label, "unit": m.unit, "up": m.up}
            | {"main": m.column in MAIN, "whole": m.column in COUNTS}
            for m in made.measures
        ],
        "point": table["point"].tolist(),
        "status": table["status"].tolist(),
        "swept": {key: [_plain(value) for value in table[key]] for key in made.keys},
        "listed": [m.column for m in made.listed],
        "results": {m.column: _numbers(m.of(table)) for m in (*made.measures, *made.listed)},
        "low": _numbers(100 * table["accuracy_crossbar_low"].to_numpy(dtype=float, na_value=np.nan)),
        "high": _numbers(100 * table["accuracy_crossbar_high"].to_numpy(dtype=float, na_value=np.nan)),
        "heat": {key: found[key] for key in ("scales", "pairs", "palette", "rows", "cols")} if found else None,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return int(value)
    return float(f"{value:.6g}") if isinstance(value, float | np.floating) else str(value)


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
