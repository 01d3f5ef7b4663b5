"""What a run was asked to do, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiments.reporting.wording import count, plural, share

Record = Mapping[str, Any]


def section(record: Record, name: str) -> Mapping[str, Any]:
    """A section of the record's configuration, empty where there is none."""
    found = record["config"].get(name)
    return found if isinstance(found, Mapping) else {}


def asked(record: Record) -> str:
    """What the run was asked to do, in one paragraph."""
    network = section(record, "network").get("name") or record["name"]
    data, hardware = section(record, "data").get("name"), section(record, "hardware")
    bits = f"{hardware['baseline_bits']}-bit " if hardware.get("baseline_bits") else ""
    priced = f" with the component library {hardware['library']}" if hardware.get("library") else ""
    return " ".join(
        [
            f"The network {network} classifies {data}{_held_out(record)}." if data else f"The network is {network}.",
            _asked_compression(record),
            _asked_arrays(section(record, "crossbar"), section(record, "device")),
            f"The chip is priced{priced}; the baseline beside it is the unpruned {bits}network on the same arrays.",
        ]
    )


def _held_out(record: Record) -> str:
    fraction = section(record, "data").get("held_out")
    return f", tested on {share(fraction)} of its training samples, which were held out" if fraction else ""


def _asked_compression(record: Record) -> str:
    own, weights = section(record, "compress"), record["weights"]
    prune = {name: kinds for name, kinds in (own.get("prune") or {}).items() if kinds}
    plan = [_plan_words(_layer_words(name, alone=len(prune) == 1), kinds) for name, kinds in prune.items()]
    plan += [_budget_words(pattern, budget) for pattern, budget in (own.get("budget") or {}).items()]
    plan += [_gates_words(name, kept) for name, kept in (own.get("gates") or {}).items()]
    if own.get("target"):
        plan.append(_target_words(own))
    kinds = [f"{levels['kind']} in {name}" for name, levels in (own.get("levels") or {}).items()]
    where = f" ({', '.join(kinds)})" if kinds else ""
    levels = f"moves the weights that stay to the conductance levels{where}" if own.get("quantise") else ""
    seen = own.get("train_on") or ()
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


def _gates_words(name: str, kept: Mapping[str, Any]) -> str:
    """What gates leave of one layer, or of all together."""
    where = "all layers together" if name == "*" else name
    return f"{_kept_words('unstructured', kept['weights'])} and {_kept_words('gate', kept['gates'])} in {where}"


def _target_words(own: Mapping[str, Any]) -> str:
    """What the rows and columns that each layer keeps were chosen for."""
    kind, limit = own["target"], own.get("limit")
    if limit is None:
        floor = share(own["accuracy_floor"])
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
