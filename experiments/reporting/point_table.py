"""A table of points as a page reads it: which columns were varied, which results can be shown, and how they are called.

The table is that of a sweep (`experiments.load_results`): `point`, the varied keys, `status`, the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting.wording import UNKNOWN, count, number
from experiments.sweeping.columns import COUNTS, RESULTS, direction


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A result that a page shows: its column, what it is called, its unit there, and units per unit of the column."""

    column: str
    label: str
    unit: str = ""
    scale: float = 1.0

    @property
    def up(self) -> bool:
        """Whether more is better."""
        return direction(self.column) == "maximize"

    @property
    def title(self) -> str:
        """Name and unit, for an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def of(self, table: pd.DataFrame) -> np.ndarray:
        """The values in the unit of the page, NaN where not known: (points,)."""
        return self.scale * table[self.column].to_numpy(dtype=float, na_value=np.nan)

    def text(self, value: float | None) -> str:
        """A value in the unit of the page with its unit."""
        if value is None or not np.isfinite(value):
            return UNKNOWN
        return f"{self.bare(value)}\u00a0{self.unit}" if self.unit else self.bare(value)

    def bare(self, value: float | None) -> str:
        """A value in the unit of the page without it."""
        return count(value) if self.column in COUNTS and self.scale == 1 else number(value, 4)


MEASURES = (
    Measure(column="accuracy_crossbar_mean", label="accuracy on crossbars", unit="%", scale=100),
    Measure(column="accuracy_quantised", label="accuracy, quantised", unit="%", scale=100),
    Measure(column="area_mm2", label="area", unit="mm²"),
    Measure(column="power_mw", label="power", unit="mW"),
    Measure(column="energy_nj", label="energy per inference", unit="nJ"),
    Measure(column="latency_us", label="latency", unit="µs"),
    Measure(column="arrays", label="arrays"),
    Measure(column="compression", label="compression", unit="×"),
    Measure(column="full_rate_hz", label="own full rate", unit="1/s"),
    Measure(column="power_peak_mw", label="peak power", unit="mW"),
    Measure(column="adc_clipped", label="clipped converter samples", unit="%", scale=100),
)
"""What a page can show, the most asked first; every column of the sweep's table stays in its files."""

MAIN = ("accuracy_crossbar_mean", "area_mm2", "power_mw", "energy_nj", "latency_us", "arrays")
"""Results that have a column in the table of points and a place in the tables of sensitivity."""


def swept_keys(table: pd.DataFrame) -> list[str]:
    """The columns between `point` and `status`: the keys that were swept, by their own names."""
    names = list(table.columns)
    return names[1 : names.index("status")]


def measures(table: pd.DataFrame) -> list[Measure]:
    """The results of `MEASURES` that are known at some point that came to a result."""
    done: Any = table[table["status"] == "done"]
    return [measure for measure in MEASURES if measure.column in done and np.isfinite(measure.of(done)).any()]


def listed(table: pd.DataFrame) -> list[Measure]:
    """The results with a column in the table of points: the main ones that any point knows, an infeasible one too."""
    return [m for m in MEASURES if m.column in MAIN and m.column in table and np.isfinite(m.of(table)).any()]


def varying(found: Sequence[Measure], table: pd.DataFrame) -> list[Measure]:
    """Those of them that are not the same at all points with a result."""
    done: Any = table[table["status"] == "done"]
    return [measure for measure in found if len(set(_known(measure.of(done)))) > 1]


def _known(values: np.ndarray) -> list[float]:
    return values[np.isfinite(values)].tolist()


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A key that varies, or several that vary as one; column: (points,), numbers or texts; labels: of each value."""

    keys: tuple[str, ...]
    column: np.ndarray
    labels: Mapping[object, str]

    @property
    def name(self) -> str:
        """The keys as [sweep] writes them."""
        return ", ".join(self.keys)

    @property
    def short(self) -> str:
        """The keys without their sections, for pictures."""
        return ", ".join(key.rpartition(".")[2] for key in self.keys)


def factors(table: pd.DataFrame) -> list[Factor]:
    """The keys that take more than one value, in the table's order; keys that always change together are one factor."""
    groups: dict[bytes, list[str]] = {}
    for key in swept_keys(table):
        codes, found = pd.factorize(_plain(table[key]))
        if len(found) > 1:
            groups.setdefault(codes.tobytes(), []).append(key)
    made = []
    for keys in groups.values():
        values = _plain(table[keys[0]])
        rows = table.loc[~pd.Series(values).duplicated().to_numpy(), keys]
        labels = {value: _label(row) for value, row in zip(pd.unique(values), rows.to_numpy(dtype=object), strict=True)}
        made.append(Factor(keys=tuple(keys), column=values, labels=labels))
    return made


def _plain(column: Any) -> np.ndarray:
    """A column as numbers or as texts."""
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return column.astype(str).to_numpy(dtype=object)
    return column.to_numpy()


def _label(row: Sequence[object]) -> str:
    """The values of keys that change together: once where they are equal."""
    texts = list(dict.fromkeys(value_text(value) for value in row))
    return ", ".join(texts)


def value_text(value: object) -> str:
    """A value of a key: numbers as they are written in a file, at most six digits."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value)


def configuration(table: pd.DataFrame, row: int, keys: Sequence[str]) -> str:
    """The keys of a point as "crossbar.rows = 32, device.levels = 16"."""
    return ", ".join(f"{key} = {value_text(table[key].iloc[row])}" for key in keys)


def unit_note(column: str) -> str:
    """What a result column means, for a heading's title."""
    unit, meaning = RESULTS[column]
    return f"{meaning} [{unit}]" if unit else meaning
