"""A point's row of results, put together from what the store holds of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.sweeping.keys import Keys
from experiments.sweeping.statistics import Rules, spread
from experiments.sweeping.store import Store

Row = dict[str, Any]
_COSTS = (
    "area_mm2", "power_mw", "energy_nj", "latency_us", "frame_rate_hz", "power_peak_mw", "leakage_mw", "full_rate_hz",
)  # fmt: skip
_BASELINE = ("area_mm2", "power_mw", "energy_nj", "latency_us")


def assemble(store: Store, keys: Keys, rules: Rules) -> Row | None:
    """The results of a point, None where a stage that it needs is not in the store."""
    row = _before_chips(store, keys)
    if row is None:
        return None
    broken = rules.broken(row, simulated=False)
    if broken is not None:
        return {"status": "infeasible", **row, "message": broken}
    chips = (store.read("chips", keys.chips) or {}).get("chips", [])
    count = rules.enough([chip["accuracy"] for chip in chips])
    if count is None:
        return None
    row |= _simulated(chips[:count])
    broken = rules.broken(row, simulated=True)
    return {"status": "infeasible" if broken else "done", **row, "message": broken or ""}


def feasible_so_far(store: Store, keys: Keys, rules: Rules) -> bool:
    """Whether a point breaks no constraint by what is known without simulation."""
    row = _before_chips(store, keys)
    return row is None or rules.broken(row, simulated=False) is None


def _before_chips(store: Store, keys: Keys) -> Row | None:
    found: dict[str, Mapping[str, Any]] = {}
    for stage in ("dense", "compressed", "placement", "cost"):
        record = store.read(stage, getattr(keys, stage))
        if record is None:
            return None
        found[stage] = record
    placement, placed, baseline = found["placement"], found["cost"]["placed"], found["cost"]["baseline"]
    stages = found["compressed"]["stages"]
    kept = placement["weights_kept"]
    return {
        "accuracy_dense": found["dense"]["accuracy"],
        "accuracy_pruned": stages["pruned"],
        "accuracy_quantised": stages["quantised"] if placement["quantised"] is None else placement["quantised"],
        **{name: placed.get(name) for name in _COSTS},
        "arrays": placement["arrays"],
        **{f"{name}_baseline": baseline.get(name) for name in _BASELINE},
        "arrays_baseline": found["cost"]["arrays_baseline"],
        "weights": placement["weights"],
        "weights_kept": kept,
        "compression": placement["weights"] / kept if kept else float(placement["weights"]),
        "macs_on_arrays": placement["macs_on_arrays"],
    }


def _simulated(chips: list[dict[str, Any]]) -> Row:
    return {
        **spread([chip["accuracy"] for chip in chips]),
        "chips": len(chips),
        "adc_clipped": _share(chips, "adc"),
        "input_clipped": _share(chips, "input"),
    }


def _share(chips: list[dict[str, Any]], kind: str) -> float:
    clipped = sum(chip[f"{kind}_clipped"] for chip in chips)
    samples = sum(chip[f"{kind}_samples"] for chip in chips)
    return clipped / samples if samples else 0.0
