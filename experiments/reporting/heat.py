"""Heat maps of any two keys: each result by the values of both, over all others, and colours for it.

The colours are those of cividis (Nuñez, Anderton and Renslow, PLoS ONE 13, 2018), which runs evenly from dark to light
for readers with and without a colour-vision deficiency; the number stands in every field, so colour carries nothing
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting.point_table import Factor, Measure, value_text

MAX_LEVELS = 16
"""Values of a key that have a row or column each; beyond, numbers are cut into `BINS` ranges of equal count."""

BINS = 8

MAX_TEXTS = 24
"""A key with more words than this has no heat map."""

MAX_KEYS = 8
"""Keys that can be chosen from, the first ones."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A key as rows or columns of a heat map: the label of each, and (points,) which of them a point is in."""

    name: str
    labels: list[str]
    codes: np.ndarray


def scales(factors: Sequence[Factor]) -> list[Scale]:
    """The keys that a heat map can be made of."""
    found = [_scale(factor) for factor in factors]
    return [scale for scale in found if scale is not None][:MAX_KEYS]


def _scale(factor: Factor) -> Scale | None:
    values = pd.unique(factor.column)
    if np.issubdtype(factor.column.dtype, np.number):
        if len(values) > MAX_LEVELS:
            return _binned(factor)
        ordered = sorted(values)
    elif len(values) > MAX_TEXTS:
        return None
    else:
        ordered = sorted(values, key=_as_number)
    place = {value: index for index, value in enumerate(ordered)}
    codes = pd.Series(factor.column).map(place).to_numpy(dtype=int)
    return Scale(name=factor.name, labels=[factor.labels[value] for value in ordered], codes=codes)


def _binned(factor: Factor) -> Scale:
    values = factor.column.astype(float)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
    codes = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    ends = [value_text(float(f"{edge:.3g}")) for edge in edges]
    labels = [f"{low} … {high}" for low, high in pairwise(ends)]
    return Scale(name=factor.name, labels=labels, codes=codes)


def _as_number(text: object) -> tuple[float, str]:
    """Words that are numbers by their value, the others behind them."""
    try:
        return float(str(text)), str(text)
    except ValueError:
        return float("inf"), str(text)


def maps(found: Sequence[Scale], results: Sequence[Measure], table: pd.DataFrame) -> list[dict[str, Any]]:
    """A map for every pair of keys: {"rows", "cols": places in `found`, "n": points of each field, and for each result
    "mean" and "best" in rows × cols, None where no point is known}. A single key makes a map of one row ("rows" None).

    Points count that came to a result (status done).
    """
    done = (table["status"] == "done").to_numpy()
    pairs: list[tuple[int | None, int]] = list(combinations(range(len(found)), 2))
    if len(found) == 1:
        pairs = [(None, 0)]
    return [_map(found, results, table, done, rows, cols) for rows, cols in pairs]


def _map(
    found: Sequence[Scale],
    results: Sequence[Measure],
    table: pd.DataFrame,
    done: np.ndarray,
    rows: int | None,
    cols: int,
) -> dict[str, Any]:
    height = 1 if rows is None else len(found[rows].labels)
    width = len(found[cols].labels)
    field = found[cols].codes + (0 if rows is None else found[rows].codes * width)
    made: dict[str, Any] = {"rows": rows, "cols": cols, "values": {}}
    for result in results:
        values = result.of(table)
        known = done & np.isfinite(values)
        count = np.bincount(field[known], minlength=height * width)
        sums = np.bincount(field[known], values[known], minlength=height * width)
        worst = -np.inf if result.up else np.inf
        best = np.full(height * width, worst)
        (np.maximum if result.up else np.minimum).at(best, field[known], values[known])
        with np.errstate(invalid="ignore"):
            mean = sums / count
        made["values"][result.column] = {
            "n": count.reshape(height, width).tolist(),
            "mean": _listed(mean, count, (height, width)),
            "best": _listed(best, count, (height, width)),
        }
    return made


def _listed(values: np.ndarray, count: np.ndarray, shape: tuple[int, int]) -> list[list[float | None]]:
    flat = [float(f"{value:.6g}") if some else None for value, some in zip(values, count, strict=True)]
    return [flat[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]


def palette(steps: int = 9) -> list[tuple[int, int, int]]:
    """Colours from low to high, red, green and blue from 0 to 255."""
    from matplotlib import colormaps

    return [tuple(round(255 * c) for c in colour[:3]) for colour in colormaps["cividis"](np.linspace(0, 1, steps))]


def shade(share: float, colours: Sequence[tuple[int, int, int]]) -> tuple[str, str]:
    """Ground and text colour of a field at a share in [0, 1] of the scale; their contrast is at least 4.5 : 1."""
    place = min(max(share, 0.0), 1.0) * (len(colours) - 1)
    low = min(int(place), len(colours) - 2)
    mixed = [a + (b - a) * (place - low) for a, b in zip(colours[low], colours[low + 1], strict=True)]
    ground = tuple(round(part) for part in mixed)
    return f"rgb({ground[0]},{ground[1]},{ground[2]})", "#000" if luminance(ground) > 0.179 else "#fff"


def luminance(colour: Sequence[int]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2): black and white contrast equally at 0.179."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
