"""Measured devices as files or tables: which column is what, in which unit, and what is refused.

Two kinds of data. States: a row per level with its mean and spread. Readings: a row per reading of a programmed cell,
with the target it was programmed to, or the number of its state.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwmodels.errors import UserError

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
"""Endings of a column of conductances, and what one is in siemens."""

_LAYOUTS = (
    "states: g_mean_<unit>, g_sigma_<unit>, and level if they are numbered; NeuroSim's: mean, std [S]; "
    "readings: target_<unit> or state, with reading_<unit>. Units: s, ms, us, ns (siemens)"
)


@dataclass(frozen=True)
class States:
    """A row per level: its number or None, mean [S], σ [S]."""

    level: np.ndarray | None
    mean: np.ndarray
    sigma: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Readings:
    """A row per reading: number of its state, or target [S], and the reading [S]."""

    state: np.ndarray
    reading: np.ndarray
    by_target: bool


def load(data: Any) -> tuple[str, States | Readings]:
    """Recognise measured data; returns what to call it in messages, and its content.

    data: path of a CSV file with a header, or a table by columns (a DataFrame or a mapping of sequences). Raises
    UserError for columns that fit no layout, and for values that are no numbers, with the row.
    """
    if isinstance(data, (str, os.PathLike)):
        where, columns = str(data), _columns_of_file(Path(data))
    elif isinstance(data, Mapping) or hasattr(data, "columns"):
        where = "the measured data"
        columns = {
            str(name).strip(): list(data[name]) for name in (data if isinstance(data, Mapping) else data.columns)
        }
    else:
        raise UserError(f"Measured data is the path of a CSV file or a table by columns, not {type(data).__name__}.")
    return where, _recognised(where, {name.lower(): values for name, values in columns.items()})


def _recognised(where: str, columns: dict[str, Sequence[Any]]) -> States | Readings:
    """The layout that the columns fit."""
    names = set(columns)
    if {"mean", "std"} <= names:
        note = (
            "read as NeuroSim's mem_states.csv: a row per state from low to high, mean and std of its conductance in "
            "siemens (NeuroSim also stores capacitances in this layout: those are not conductances)"
        )
        mean, sigma = (_numbers(where, name, columns[name]) for name in ("mean", "std"))
        return States(np.arange(mean.size), mean, sigma, (note,))
    if (mean := _conductance(where, columns, "g_mean")) is not None:
        sigma = _conductance(where, columns, "g_sigma")
        if sigma is None:
            raise UserError(
                f"{where}: there is g_mean but no g_sigma. Give the spread of every level, 0 where there is none."
            )
        level = _numbers(where, "level", columns["level"]) if "level" in names else None
        return States(level, mean, sigma)
    if (reading := _conductance(where, columns, "reading")) is not None:
        if (target := _conductance(where, columns, "target")) is not None:
            return Readings(target, reading, by_target=True)
        if "state" in names:
            return Readings(_numbers(where, "state", columns["state"]), reading, by_target=False)
    raise UserError(f"{where} has the columns {', '.join(columns) or 'none'}, which fit no layout. {_LAYOUTS}.")


def _conductance(where: str, columns: dict[str, Sequence[Any]], stem: str) -> np.ndarray | None:
    """The column `stem`_<unit> in siemens; None where there is none."""
    found = [name for name in columns if re.fullmatch(rf"{stem}_({'|'.join(UNITS)})", name)]
    if len(found) > 1:
        raise UserError(f"{where}: {' and '.join(found)} say the same in two units: keep one.")
    if not found:
        return None
    name = found[0]
    return _numbers(where, name, columns[name]) * UNITS[name.removeprefix(f"{stem}_")]


def _numbers(where: str, name: str, values: Sequence[Any]) -> np.ndarray:
    """A column as finite float64."""
    out = np.empty(len(values))
    for i, item in enumerate(values):
        try:
            out[i] = float(item)
        except (TypeError, ValueError):
            out[i] = np.nan
        if not np.isfinite(out[i]):
            raise UserError(f"{where}: row {i + 1} has {name} = {item!r}, which is no finite number.")
    return out


def _columns_of_file(path: Path) -> dict[str, list[str]]:
    """A CSV file with a header, by columns; comment lines start with #."""
    if not path.is_file():
        raise UserError(f"There is no file {str(path)!r} of measured data.")
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UserError(f"{path} is no UTF-8 text: export the measurements as CSV.") from None
    rows = list(csv.reader(line for line in lines if not line.lstrip().startswith("#")))
    if len(rows) < 2:
        raise UserError(f"{path} holds no measurements: a header and a row for each state or reading are needed.")
    header = [name.strip() for name in rows[0]]
    if len(set(header)) < len(header):
        raise UserError(f"{path}: a column stands twice in the header {', '.join(header)}.")
    for i, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise UserError(f"{path}: row {i} has {len(row)} entries under {len(header)} columns.")
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(header)}
