"""What the report says: a run's record and tables turned into sentences, rows and figure captions.

Both templates, the page and the summary, print what `contents` returns; nothing is worked out inside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting import converter_report, figures, tornado
from experiments.reporting.wording import (
    UNKNOWN,
    change,
    count,
    duration,
    known,
    number,
    percent,
    plural,
    points,
    quantity,
    rate,
    share,
    times,
)

Record = Mapping[str, Any]
Tables = Mapping[str, pd.DataFrame]


def contents(record: Record, tables: Tables) -> dict[str, Any]:
    """Everything the templates print, as text: sentences, rows of cells, and the record itself."""
    return {
        "record": record,
        "title": title(record),
        "created": _moment(record["created"]),
        "asked": asked(record),
        "answer": answer(record),
        "highlights": highlights(record),
        "stages": stages(record),
        "costs": costs(record),
        "power": POWER,
        "components": _cost_rows(tables, "component"),
        "layer_costs": _cost_rows(tables, "layer"),
        "ranges": ranges(record),
        "uncertain": _uncertain_rows(tables),
        "layers": [_layer_row(layer) for layer in record["layers"]],
        "converters": [converter_report.row(layer) for layer in record["layers"]],
        "converter_heads": list(converter_report.HEADS),
        "digital": _digital(record),
        "on_arrays": f"{share(record['macs_on_arrays'])} of the multiply-accumulates run on arrays.",
        "warnings": warnings(record),
        "read_with": f"{plural(len(warnings(record)), 'warning')}",
        "compressed": not _table(tables, "history").empty,
        "captions": captions(record, tables),
        "config": _sections(record["config"]),
        "assumptions": list(record["assumptions"]),
        "sources": [(row["what"], _value(row["value"]), row["source"]) for row in record["sources"]],
        "times": [(name, duration(seconds)) for name, seconds in record["stage_seconds"].items()],
        "seconds": duration(record["seconds"]),
    }


def title(record: Record) -> str:
    """The heading: the configuration's own title, else the name of the run."""
    return _section(record, "report").get("title") or record["name"]


def asked(record: Record) -> str:
    """What the run was asked to do, in one paragraph."""
    network = _section(record, "network").get("name") or record["name"]
    data, hardware = _section(record, "data").get("name"), _section(record, "hardware")
    bits = f"{hardware['baseline_bits']}-bit " if hardware.get("baseline_bits") else ""
    priced = f" with the component library {hardware['library']}" if hardware.get("library") else ""
    return " ".join(
        [
            f"The network {network} classifies {data}." if data else f"The network is {network}.",
            _asked_compression(record),
            _asked_arrays(_section(record, "crossbar"), _section(record, "device")),
            f"The chip is priced{priced}; the baseline beside it is the unpruned {bits}network on the same arrays.",
        ]
    )


def _asked_compression(record: Record) -> str:
    section, weights = _section(record, "compress"), record["weights"]
    prune = {name: kinds for name, kinds in (section.get("prune") or {}).items() if kinds}
    plan = [_plan_words(_layer_words(name, alone=len(prune) == 1), kinds) for name, kinds in prune.items()]
    plan += [_budget_words(pattern, budget) for pattern, budget in (section.get("budget") or {}).items()]
    plan += [_gates_words(name, kept) for name, kept in (section.get("gates") or {}).items()]
    if section.get("target"):
        plan.append(_target_words(section))
    own = [f"{levels['kind']} in {name}" for name, levels in (section.get("levels") or {}).items()]
    where = f" ({', '.join(own)})" if own else ""
    levels = f"moves the weights that stay to the conductance levels{where}" if section.get("quantise") else ""
    seen = section.get("train_on") or ()
    trained = f" Retraining sees of the arrays: {', '.join(seen)}." if seen else ""
    if plan:
        return f"ADMM prunes it to the arrays (keeping {'; '.join(plan)}){levels and f' and {levels}'}.{trained}"
    kept = f"; {count(weights['kept'])} of {count(weights['total'])} weights are not zero"
    pruned = f"It is not pruned{kept if weights['kept'] < weights['total'] else ''}"
    return f"{pruned}{levels and f'; ADMM moves its weights to the conductance levels{where}'}.{trained}"


_GROUPS = {
    "filter": "filter",
    "channel": "channel",
    "column": "filter-shape column",
    "block": "block",
    "unstructured": "weight",
    "array_row": "array row",
    "array_column": "array column",
}

_BOUNDS: dict[str, Callable[[Any], str]] = {
    "n_m": lambda n_m: f"at most {n_m.partition(':')[0]} of every {n_m.partition(':')[2]} neighbouring weights",
    "balanced": lambda live: f"at most {plural(live, 'live cell')} in a column of an array",
    "pattern": lambda patterns: f"kernels of {plural(patterns, 'pattern')}",
    "polarised": lambda fragment: f"one sign in every fragment of {plural(fragment, 'weight')}",
}
_DETAILS = ("n_m_axis", "pattern_entries", "polarised_order", "polarised_refresh", "polarised_rule")


def _target_words(section: Mapping[str, Any]) -> str:
    """What the rows and columns that each layer keeps were chosen for."""
    kind, limit = section["target"], section.get("limit")
    if limit is None:
        floor = share(section["accuracy_floor"])
        return (
            f"in each layer the rows and columns of the least {kind} found that gets {floor} of held-out samples right"
        )
    chip = f"{limit} times fewer weights" if kind == "reduction" else f"a chip of at most {limit}"
    return f"in each layer the rows and columns that {chip}{' arrays' if kind == 'arrays' else ''} leaves room for"


def _plan_words(where: str, kinds: Mapping[str, Any]) -> str:
    """What a layer keeps: a fraction or a count of its groups, or what binds every small part of it."""
    kept = [
        _BOUNDS[kind](value) if kind in _BOUNDS else _kept_words(kind, value)
        for kind, value in kinds.items()
        if kind not in _DETAILS
    ]
    return f"{' and '.join(kept)} in {where}"


def _kept_words(kind: str, keep: int | float) -> str:
    group = _GROUPS.get(kind, kind)
    return plural(keep, group) if isinstance(keep, int) else f"{100 * keep:g}\u00a0% of the {group}s"


def _gates_words(name: str, kept: Mapping[str, Any]) -> str:
    """What gates leave of one layer, or of all together."""
    where = "all layers together" if name == "*" else name
    return f"{_kept_words('unstructured', kept['weights'])} and {_kept_words('gate', kept['gates'])} in {where}"


def _budget_words(pattern: str, budget: Mapping[str, Any]) -> str:
    """What the layers of a pattern keep together."""
    return f"{_kept_words(budget['kind'], budget['keep'])} over all of {'the layers' if pattern == '*' else pattern}"


def _layer_words(name: str, *, alone: bool) -> str:
    if name != "*":
        return name
    return "every layer" if alone else "every other layer"


def _asked_arrays(crossbar: Mapping[str, Any], device: Mapping[str, Any]) -> str:
    size = f"{crossbar['rows']} × {crossbar['cols']} cells" if {"rows", "cols"} <= crossbar.keys() else "cells"
    of = f" of the device {device['preset']}" if device.get("preset") else ""
    details = [
        f"{device['levels']} levels a cell" if device.get("levels") else "",
        plural(crossbar["slices"], "slice") + " a weight" if crossbar.get("slices") else "",
        f"encoding {crossbar['encoding']!r}" if crossbar.get("encoding", "pair") != "pair" else "",
        *(_bits(crossbar.get(key), what) for key, what in (("input_bits", "inputs"), ("adc_bits", "ADCs"))),
        "programming errors off" if device.get("mismatch") == 0 else "",
    ]
    told = ", ".join(detail for detail in details if detail)
    return f"The arrays have {size}{of}" + (f" ({told})." if told else ".")


def _bits(bits: int | str | None, what: str) -> str:
    if not bits:
        return ""
    return f"{bits}-bit {what}" if isinstance(bits, int) else f"{bits} {what}"


def answer(record: Record) -> str:
    """The answer as one sentence of numbers."""
    accuracy, arrays, reduction = record["accuracy"], record["arrays"], record["reduction"]
    decimals = precision(accuracy)
    mean = accuracy["crossbar_mean"]
    if known(mean):
        runs = len(accuracy["crossbar_seeds"])
        interval = "95 % interval over " if _half_width(accuracy) is not None else ""
        reached = (
            f"{_with_interval(accuracy)} on crossbars ({interval}{plural(runs, 'device seed')}), "
            f"{_against_dense(accuracy, mean)}"
        )
    else:
        reached = f"{percent(accuracy['dense'], decimals)} before mapping; it was not run on crossbars"
    at = f" at {rate(record['frame_rate_hz'])}" if known(record["frame_rate_hz"]) else ""
    return (
        f"Accuracy {reached}; {times(record['compression'])} compression; "
        f"{count(arrays['placed'])} arrays instead of {count(arrays['baseline'])}; "
        f"area {change(reduction['area'])}, power {change(reduction['power'])}{at}."
    )


def highlights(record: Record) -> list[tuple[str, str, str]]:
    """The answer as a line of numbers: label, value, and what it is measured against."""
    accuracy, arrays, reduction = record["accuracy"], record["arrays"], record["reduction"]
    runs = len(accuracy["crossbar_seeds"])
    area, power = record["area_mm2"], record["power_mw"]
    return [
        ("accuracy on crossbars", _with_interval(accuracy), f"{plural(runs, 'device seed')}" if runs else "not run"),
        ("dense accuracy", percent(accuracy["dense"], precision(accuracy)), f"{count(accuracy['samples'])} samples"),
        ("compression", times(record["compression"]), f"{count(record['weights']['kept'])} weights kept"),
        ("arrays", count(arrays["placed"]), f"instead of {count(arrays['baseline'])}"),
        ("area", change(reduction["area"]), f"{number(area['baseline'])} → {quantity(area['placed'], 'mm²')}"),
        ("power", change(reduction["power"]), f"{number(power['baseline'])} → {quantity(power['placed'], 'mW')}"),
    ]


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
        rows.append(["on crossbars", percent(mean, decimals), points(mean - dense, decimals), _spread(accuracy)])
    return rows


def costs(record: Record) -> list[list[str]]:
    """Rows of the cost table: quantity, baseline, placed, change."""
    at = f" at {rate(record['frame_rate_hz'])}" if known(record["frame_rate_hz"]) else ""
    rows = [_cost_row("arrays", record["arrays"], count)]
    for name, key, unit in (
        ("area", "area_mm2", "mm²"),
        (f"power{at}", "power_mw", "mW"),
        ("leakage in it", "leakage_mw", "mW"),
        ("peak power", "power_peak_mw", "mW"),
        ("own full rate", "full_rate_hz", "inferences/s"),
        ("power at its own full rate", "power_full_rate_mw", "mW"),
        ("energy per inference", "energy_nj", "nJ"),
        ("latency per inference", "latency_us", "µs"),
        ("energy of writing all cells once", "programming_energy_nj", "nJ"),
        ("time of writing all cells once", "programming_time_us", "µs"),
    ):
        if key in record:
            rows.append(_cost_row(name, record[key], lambda value, unit=unit: quantity(value, unit)))
    return rows


POWER = (
    "Power is energy per inference × frame rate + leakage, for both chips at the same rate; peak power has every unit "
    "busy at once. Writing the cells is part of no other number."
)
"""What the rows of the cost table mean."""


def ranges(record: Record) -> str:
    """How far the totals of the placed chip reach with every ranged number of the library at its end."""
    found = []
    for name, key, unit in (("area", "area_mm2", "mm²"), ("power", "power_mw", "mW"), ("energy", "energy_nj", "nJ")):
        low, high = record.get("interval", {}).get(key, (None, None))
        if known(low) and known(high) and low < high:
            found.append(f"{name} {number(low)} to {quantity(high, unit)}")
    return f"With all these numbers at their ends at once: {', '.join(found)}." if found else ""


def warnings(record: Record) -> list[str]:
    """What the reader must know before trusting the numbers: broken promises first, then what the run found."""
    found = []
    if record["levels_violations"]:
        off = plural(record["levels_violations"], "weight")
        found.append(f"{off} off the device’s levels: do not use this result.")
    if record["constraint_violations"]:
        broken = plural(record["constraint_violations"], "pruning constraint")
        found.append(f"{broken} broken: do not use this result.")
    return found + list(record["warnings"])


def captions(record: Record, tables: Tables) -> dict[str, str]:
    """A caption for each picture."""
    accuracy = record["accuracy"]
    seeds = len(accuracy["crossbar_seeds"])
    bar = (
        ". Bar: 95 % confidence interval of the mean; small dots: single devices"
        if _half_width(accuracy) is not None
        else ""
    )
    over = f", on crossbars the mean of {plural(seeds, 'device seed')}" if seeds else ""
    at = f", power at {rate(record['frame_rate_hz'])}" if known(record["frame_rate_hz"]) else ""
    many = len(record["layers"]) > figures.MAX_ROWS
    together = " Neighbouring layers are summed; “+ 2” stands for the next two." if many else ""
    sums = _table(tables, "adc_histogram")
    sums_seen = converter_report.worst_layer(record["layers"], sums) is not None
    return ({"adc_range": converter_report.caption(record, sums)} if sums_seen else {}) | {
        "accuracy": f"Accuracy on {count(accuracy['samples'])} test samples{over}{bar}.",
        "cost_by_component": f"Area and power by component{at}.",
        "cost_by_layer": f"Area and power by layer{at}.{together}",
        "uncertainty": "What is not known about the placed chip: the total with one number of the component library at "
        f"its low and at its high end, the largest swings first{at}. Ranges are of the unit as its source prints it; "
        "numbers without one count as exact, and the smallest swings stand in the table uncertainty only.",
        "convergence": f"Accuracy over the epochs, stage by stage: {', '.join(_stage_names(tables))}."
        + (
            " Below, the ADMM residuals over the norm of the weights: primal, the distance between the weights and "
            "their copies; dual, how far the copies still move."
            if not _table(tables, "history").empty
            else ""
        ),
        "placement": f"The chip as a sheet of {plural(record['arrays']['placed'], 'array')}: the coloured part holds "
        "weights, word lines run from left to right. Arrays that several layers share stand with the first of them.",
    }


def _stage_names(tables: Tables) -> list[str]:
    history = _table(tables, "history")
    train = [] if _table(tables, "training").empty else ["train"]
    return list(dict.fromkeys([*train, *(str(stage) for stage in (history["stage"] if len(history) else ()))]))


def alternatives(record: Record, tables: Tables) -> dict[str, str]:
    """What each picture shows, in words, for readers who cannot see it."""
    layers = len(record["layers"])
    return {
        "accuracy": "Accuracy: " + ", ".join(f"{row[0]} {row[1]}" for row in stages(record)) + ".",
        "cost_by_component": "Paired bars of area and power by component; the numbers are in the table below.",
        "cost_by_layer": "Paired bars of area and power by layer; the numbers are in the table below.",
        "uncertainty": "Tornado charts of area and power; the numbers are in the table below.",
        "convergence": "Lines of accuracy and ADMM residuals over the epochs; the numbers are in the table history.",
        "adc_range": "Histogram of column sums with the range of the converters; the numbers are in the table "
        "adc_histogram.",
        "placement": f"Sheet of {plural(record['arrays']['placed'], 'array')} in bands of {plural(layers, 'layer')}; "
        "the numbers are in the table of layers.",
    }


# --- rows ----------------------------------------------------------------------------------------------------------


def _cost_row(name: str, pair: Mapping[str, float], form: Any) -> list[str]:
    before, after = pair["baseline"], pair["placed"]
    reduced = 1 - after / before if known(before) and known(after) and before else None
    return [name, form(before), form(after), change(reduced)]


def _cost_rows(tables: Tables, by: str) -> dict[str, Any]:
    """Rows (name, area before and after, power before and after, share of the placed area and power) and the sums."""
    baseline, placed = _table(tables, "cost_baseline"), _table(tables, "cost_placed")
    if baseline.empty or placed.empty:
        return {"rows": [], "total": []}
    area, power = (figures.compare(baseline, placed, by, value, None) for value in ("area_mm2", "power_mw"))
    order = [power.names.index(name) for name in area.names]
    columns = [area.baseline, area.placed, power.baseline[order], power.placed[order]]
    shares = [_shares(columns[1]), _shares(columns[3])]
    rows = [
        [name, *(number(column[i]) for column in columns), *(column[i] for column in shares)]
        for i, name in enumerate(area.names)
    ]
    return {"rows": rows, "total": ["total", *(number(_total(column)) for column in columns), "", ""]}


def _uncertain_rows(tables: Tables) -> list[list[str]]:
    """Rows of the numbers that move area and power most."""
    table = _table(tables, "uncertainty")
    return [] if table.empty else tornado.rows(table)


def _total(column: np.ndarray) -> float:
    """The sum, not known when a part of it is not known."""
    return float(column.sum())


def _shares(column: np.ndarray) -> list[str]:
    total = _total(column)
    return [share(value / total) if known(total) and total else UNKNOWN for value in column]


def _layer_row(layer: Mapping[str, Any]) -> list[str]:
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


def _digital(record: Record) -> list[tuple[str, str, str]]:
    """Modules left digital, those of one type and reason together: type, modules, reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in record["digital"]:
        groups.setdefault((entry["type"], entry["reason"]), []).append(entry["module"])
    return [(kind, ", ".join(modules), reason) for (kind, reason), modules in groups.items()]


# --- words ---------------------------------------------------------------------------------------------------------


def precision(accuracy: Mapping[str, Any]) -> int:
    """Decimals of a percentage: no finer than the test set can tell."""
    return 2 if accuracy["samples"] >= 1000 else 1


def _half_width(accuracy: Mapping[str, Any]) -> float | None:
    """Half the interval; one device has none, whatever its ends are set to."""
    low, high = accuracy["crossbar_low"], accuracy["crossbar_high"]
    return (high - low) / 2 if known(low) and known(high) and len(accuracy["crossbar_seeds"]) > 1 else None


def _with_interval(accuracy: Mapping[str, Any]) -> str:
    decimals, half = precision(accuracy), _half_width(accuracy)
    mean = percent(accuracy["crossbar_mean"], decimals)
    if half is None or mean == UNKNOWN:
        return mean
    return mean.replace("\u00a0%", f"\u00a0±\u00a0{100 * half:.{decimals}f}\u00a0%")


def _spread(accuracy: Mapping[str, Any]) -> str:
    decimals, seeds = precision(accuracy), len(accuracy["crossbar_seeds"])
    if _half_width(accuracy) is None:
        return plural(seeds, "device seed")
    low, high = (percent(accuracy[key], decimals) for key in ("crossbar_low", "crossbar_high"))
    return f"mean of {plural(seeds, 'device seed')}; 95 % interval {low} to {high}"


def _against_dense(accuracy: Mapping[str, Any], mean: float) -> str:
    decimals = precision(accuracy)
    lost = accuracy["dense"] - mean
    dense = f"the dense network’s {percent(accuracy['dense'], decimals)}"
    if points(lost, decimals) == points(0.0, decimals):
        return f"equal to {dense}"
    return f"{100 * abs(lost):.{decimals}f} points {'below' if lost > 0 else 'above'} {dense}"


def _section(record: Record, name: str) -> Mapping[str, Any]:
    section = record["config"].get(name)
    return section if isinstance(section, Mapping) else {}


def _sections(config: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The configuration by section as (key, value); keys above all sections come first, nested ones with their path."""
    above = [(key, _setting(value)) for key, value in config.items() if not isinstance(value, Mapping)]
    sections = {"all sections": above} if above else {}
    return sections | {f"[{name}]": _flat(value) for name, value in config.items() if isinstance(value, Mapping)}


def _flat(section: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in section.items():
        rows += _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else [(f"{path}{key}", _setting(value))]
    return rows


def _moment(created: str) -> str:
    """An ISO time as people write it; anything else as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def _setting(value: Any) -> str:
    """A value of the configuration as it stands in the file, strings without their quotes."""
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _value(value: Any) -> str:
    """A value for people: numbers with their digits, all else as it is set."""
    return number(value, 4) if isinstance(value, float) else _setting(value)


def _table(tables: Tables, name: str) -> pd.DataFrame:
    return tables[name] if name in tables else pd.DataFrame()
