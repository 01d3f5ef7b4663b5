"""Several runs as a table of points, laid out like that of a sweep: the keys that differ, then the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.sweeping.columns import COUNTS, RESULTS, TEXTS

NAME = "run"
"""The column with a run's name."""

_PAIRED = ("area_mm2", "power_mw", "energy_nj", "latency_us", "arrays", "power_peak_mw", "leakage_mw", "full_rate_hz")
_NO_KEYS = ("report", "data.dir")


def names(folders: Sequence[Path]) -> list[str]:
    """A name for every run: its folder's own, with as many of those above as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    made = []
    for mine in parts:
        depth = 1
        while sum(other[-depth:] == mine[-depth:] for other in parts) > 1 and depth < len(mine):
            depth += 1
        made.append("/".join(mine[-depth:]))
    return made


def table(records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The table of `experiments.load_results` with a row per run; records: name → `result.json`.

    The keys are those of the configurations that differ, what a run does not have being "not set"; `NAME` is the first.
    """
    flat = [_flat(record["config"]) for record in records.values()]
    keys = [key for key in dict.fromkeys(key for row in flat for key in row) if _differs(key, flat)]
    columns: dict[str, Any] = {"point": np.arange(len(flat)), NAME: list(records)}
    for key in keys:
        columns[key] = _swept([row.get(key) for row in flat])
    rows = [_results(record) for record in records.values()]
    for name in RESULTS:
        values = [row.get(name) for row in rows]
        if name in TEXTS:
            columns[name] = [value or "" for value in values]
        elif name in COUNTS:
            columns[name] = pd.Series(values, dtype="Int64")
        else:
            columns[name] = pd.Series([np.nan if value is None else value for value in values], dtype="float64")
    return pd.DataFrame(columns)


def _flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}{key}"
        if name in _NO_KEYS:
            continue
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found


def _differs(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return len({repr(row.get(key)) for row in rows}) > 1


def _swept(values: list[Any]) -> list[Any]:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return values
    return [
        "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        for value in values
    ]


def _results(record: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, weights = record["accuracy"], record["weights"]
    row: dict[str, Any] = {"status": "done", "message": "", "frame_rate_hz": record["frame_rate_hz"]}
    row |= {f"accuracy_{stage}": accuracy[stage] for stage in ("dense", "pruned", "quantised")}
    row |= {f"accuracy_crossbar_{end}": accuracy[f"crossbar_{end}"] for end in ("mean", "std", "low", "high")}
    row |= {"chips": len(accuracy["crossbar_seeds"]), "weights": weights["total"], "weights_kept": weights["kept"]}
    row |= {"compression": record["compression"], "macs_on_arrays": record["macs_on_arrays"]}
    for name in _PAIRED:
        pair = record.get(name, {})
        row[name] = pair.get("placed")
        row[f"{name}_baseline"] = pair.get("baseline")
    for kind in ("adc", "input"):
        row[f"{kind}_clipped"] = None  # known by layer only
    return row
