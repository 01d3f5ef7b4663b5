"""The rows of a run's tables, as text: accuracy, cost, layers, what stays digital, the configuration."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting import figures, tornado
from experiments.reporting.answers import precision, spread_words
from experiments.reporting.wording import (
    UNKNOWN,
    change,
    count,
    known,
    number,
    percent,
    points,
    quantity,
    rate,
    share,
)

Record = Mapping[str, Any]
Tables = Mapping[str, pd.DataFrame]


def table_of(tables: Tables, name: str) -> pd.DataFrame:
    """A table of the run, empty where there is none."""
    return tables[name] if name in tables else pd.DataFrame()


def stages(record: Record) -> list[list[str]]:
    """Rows of the accuracy table: stage, accuracy, difference to the dense network, remark."""
    accuracy = record["accuracy"]
    decimals, dense = precision(accuracy), accuracy["dense"]
    rows = [["dense", percent(dense, decimals), UNKNOWN, "as trained"]]
    for key, remark in (("pruned", "groups removed"), ("quantised", "weights on conductance levels")):
        if known(accuracy[key]):
            rows.append([key, percent(accuracy[key], decimals), points(accuracy[key] - dense, decimals), remark])
    if known(accuracy["crossbar_mean"]):
        mean = accuracy["crossbar_mean"]
        rows.append(["on crossbars", percent(mean, decimals), points(mean - dense, decimals), spread_words(accuracy)])
    return rows


COSTS = (
    ("area", "area_mm2", "mm²"),
    ("power", "power_mw", "mW"),
    ("leakage in it", "leakage_mw", "mW"),
    ("peak power", "power_peak_mw", "mW"),
    ("own full rate", "full_rate_hz", "inferences/s"),
    ("power at its own full rate", "power_full_rate_mw", "mW"),
    ("energy per inference", "energy_nj", "nJ"),
    ("latency per inference", "latency_us", "µs"),
    ("energy of writing all cells once", "programming_energy_nj", "nJ"),
    ("time of writing all cells once", "programming_time_us", "µs"),
)
"""Totals of a chip: name, key of the record, unit."""


def costs(record: Record) -> list[list[str]]:
    """Rows of the cost table: quantity, baseline, placed, change, range of the placed chip."""
    at = f" at {rate(record['frame_rate_hz'])}" if known(record["frame_rate_hz"]) else ""
    rows = [[*_cost_row("arrays", record["arrays"], count), ""]]
    for name, key, unit in COSTS:
        if key in record:
            named = f"{name}{at}" if key == "power_mw" else name
            row = _cost_row(named, record[key], lambda value, unit=unit: quantity(value, unit))
            rows.append([*row, _range(record, key)])
    return rows


def cost_keys(record: Record) -> list[list[str]]:
    """The keys of the record behind the cells of `costs`, "" where there is none."""
    saved = {"area_mm2": "reduction.area", "power_mw": "reduction.power", "energy_nj": "reduction.energy"}
    keys = [["", "arrays.baseline", "arrays.placed", "reduction.arrays", ""]]
    for _, key, _ in COSTS:
        if key in record:
            ends = f"interval.{key}.high" if _range(record, key) else ""
            keys.append(["", f"{key}.baseline", f"{key}.placed", saved.get(key, ""), ends])
    return keys


def _range(record: Record, key: str) -> str:
    """Low and high end of a total of the placed chip, where they differ."""
    low, high = record.get("interval", {}).get(key, (None, None))
    return f"{number(low)} … {number(high)}" if known(low) and known(high) and low < high else ""


def stage_keys(record: Record) -> list[list[str]]:
    """The keys of the record behind the cells of `stages`."""
    found = [key for key in ("dense", "pruned", "quantised", "crossbar_mean") if known(record["accuracy"][key])]
    return [["", f"accuracy.{key}", "", ""] for key in found]


def ranges(record: Record) -> str:
    """How far the totals of the placed chip reach with every ranged number of the library at its end."""
    found = []
    for name, key, unit in (("area", "area_mm2", "mm²"), ("power", "power_mw", "mW"), ("energy", "energy_nj", "nJ")):
        low, high = record.get("interval", {}).get(key, (None, None))
        if known(low) and known(high) and low < high:
            found.append(f"{name} {number(low)} to {quantity(high, unit)}")
    return f"With all these numbers at their ends at once: {', '.join(found)}." if found else ""


def _cost_row(name: str, pair: Mapping[str, float], form: Any) -> list[str]:
    before, after = pair["baseline"], pair["placed"]
    reduced = 1 - after / before if known(before) and known(after) and before else None
    return [name, form(before), form(after), change(reduced)]


BREAKDOWN = {"component": (("area_mm2", "mm²"), ("power_mw", "mW"), ("energy_nj", "nJ")),
             "layer": (("area_mm2", "mm²"), ("power_mw", "mW"), ("energy_nj", "nJ"), ("latency_us", "µs"))}  # fmt: skip
"""What is broken down by component and by layer: column and unit; latency belongs to no component."""


def breakdown(tables: Tables, by: str, limit: int | None = None) -> dict[str, figures.Comparison]:
    """Costs by component or by layer, before and after, by column; those that both tables have."""
    found = {}
    for column, _ in BREAKDOWN[by]:
        name = "cost_layers" if column == "latency_us" else "cost"
        before, after = (_chip_table(tables, name, chip) for chip in ("baseline", "placed"))
        if all(column in table and len(table) for table in (before, after)):
            found[column] = figures.compare(before, after, by, column, limit)
    return found


def charts(tables: Tables, by: str) -> dict[str, figures.Comparison]:
    """What of the breakdown is drawn: without leakage, energy by component has the shape of power."""
    found = breakdown(tables, by, figures.MAX_ROWS)
    if by == "component" and {"power_mw", "energy_nj"} <= found.keys() and _same_shape(found):
        del found["energy_nj"]
    return found


def _same_shape(found: Mapping[str, figures.Comparison]) -> bool:
    power, energy = found["power_mw"], found["energy_nj"]
    if power.names != energy.names:
        return False
    own, other = (np.concatenate([cost.baseline, cost.placed]) for cost in (power, energy))
    return bool(np.allclose(own * other.sum(), other * own.sum(), rtol=1e-9))


def _chip_table(tables: Tables, name: str, chip: str) -> pd.DataFrame:
    if name == "cost":
        return table_of(tables, f"cost_{chip}")
    table = table_of(tables, name)
    return table.loc[table["chip"] == chip] if len(table) else table


def cost_rows(tables: Tables, by: str) -> dict[str, Any]:
    """Heads, rows (name, each cost before and after, share of the placed area and power) and the sums."""
    found = breakdown(tables, by)
    if "area_mm2" not in found or "power_mw" not in found:
        return {"heads": [], "rows": [], "total": []}
    units = dict(BREAKDOWN[by])
    names = found["power_mw"].names if by == "component" else found["area_mm2"].names
    columns, heads = [], []
    for column, cost in found.items():
        order = [cost.names.index(name) for name in names]
        columns += [cost.baseline[order], cost.placed[order]]
        heads += [f"baseline ({units[column]})", f"placed ({units[column]})"]
    shares = [_shares(columns[1]), _shares(columns[3])]
    rows = [
        [name, *(number(column[i]) for column in columns), *(column[i] for column in shares)]
        for i, name in enumerate(names)
    ]
    total = ["total", *(number(_total(column)) for column in columns), "", ""]
    return {"heads": [*heads, "share of area", "share of power"], "rows": rows, "total": total}


def uncertain_rows(tables: Tables) -> list[list[str]]:
    """Rows of the numbers that move area and power most."""
    table = table_of(tables, "uncertainty")
    return [] if table.empty else tornado.rows(table)


def _total(column: np.ndarray) -> float:
    """The sum, not known when a part of it is not known."""
    return float(column.sum())


def _shares(column: np.ndarray) -> list[str]:
    total = _total(column)
    return [share(value / total) if known(total) and total else UNKNOWN for value in column]


def layer_row(layer: Mapping[str, Any]) -> list[str]:
    """The cells of one layer in the table of layers."""
    groups = f"{layer['groups']} × " if layer["groups"] > 1 else ""
    kept = layer["kept"] / layer["weights"] if layer["weights"] else None
    return [
        layer["layer"],
        layer["kind"],
        f"{groups}{count(layer['rows'])} × {count(layer['cols'])}",
        f"{count(layer['rows_kept'])} × {count(layer['cols_kept'])}",
        count(layer["weights"]),
        count(layer["kept"]),
        share(kept),
        count(layer["levels_used"]),
        _lossless(layer),
        f"{count(layer['arrays_baseline'])} → {count(layer['arrays_placed'])}",
        number(layer["macs"]),
        count(layer["input_phases"]),
        share(layer["adc_clipped"]),
        share(layer["input_clipped"]),
    ]


def _lossless(layer: Mapping[str, Any]) -> str:
    """The fewest converter bits that lose nothing: for the stored levels, and for any."""
    tight, safe = (count(layer.get(key)) for key in ("adc_bits_tight", "adc_bits_safe"))
    return tight if tight == safe else f"{tight}; {safe}"


def digital_rows(record: Record) -> list[tuple[str, str, str, str]]:
    """Modules left digital, those of one type and reason together: type, modules, reason, work per inference."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in record["digital"]:
        groups.setdefault((entry["type"], entry["reason"]), []).append(entry)
    return [
        (kind, ", ".join(entry["module"] or "the network itself" for entry in entries), reason, _work(entries))
        for (kind, reason), entries in groups.items()
    ]


def _work(entries: list[Mapping[str, Any]]) -> str:
    """What digital modules compute together: multiply-accumulates, then elements by operation, most first."""
    elements: Counter[str] = Counter()
    for entry in entries:
        elements.update(entry.get("operations") or {})
    macs = sum(entry.get("macs") or 0 for entry in entries)
    told = [f"{count(macs)} multiply-accumulates"] if macs else []
    told += [f"{name} {count(amount)}" for name, amount in sorted(elements.items(), key=lambda item: -item[1])]
    return ", ".join(told) or "–"


def flat_settings(config: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The configuration by section as (key, value); keys above all sections come first, nested ones with their path."""
    above = [(key, _setting(value)) for key, value in config.items() if not isinstance(value, Mapping)]
    sections = {"all sections": above} if above else {}
    return sections | {f"[{name}]": _flat(value) for name, value in config.items() if isinstance(value, Mapping)}


def _flat(section: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in section.items():
        rows += _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else [(f"{path}{key}", _setting(value))]
    return rows


def _setting(value: Any) -> str:
    """A value of the configuration as it stands in the file, strings without their quotes."""
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def setting_text(value: Any) -> str:
    """A value for people: numbers with their digits, all else as it is set."""
    return number(value, 4) if isinstance(value, float) else _setting(value)


POWER = (
    "Power is energy per inference × frame rate + leakage, for both chips at the same rate; peak power has every unit "
    "busy at once. Writing the cells is part of no other number."
)
"""What the rows of the cost table mean."""
