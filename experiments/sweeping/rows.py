"""A point's row of results, put together from what the store holds of its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiments.sweeping.keys import Keys, Stage
from experiments.sweeping.statistics import Rules, spread

Row = dict[str, Any]
_COSTS = (
    "area_mm2", "power_mw", "energy_nj", "latency_us", "frame_rate_hz", "power_peak_mw", "leakage_mw", "full_rate_hz",
)  # fmt: skip
_BASELINE = ("area_mm2", "power_mw", "energy_nj", "latency_us")


Read = Callable[[Stage, str], Mapping[str, Any] | None]
"""A stage's record by its key, None where there is none: `Store.read`, or a memory of what it gave."""


def assemble(read: Read, keys: Keys, rules: Rules) -> Row | None:
    """The results of a point, None where a stage that it needs is missing."""
    row = _before_chips(read, keys)
    if row is None:
        return None
    broken = rules.broken(row, simulated=False)
    if broken is not None:
        return {"status": "infeasible", **row, "message": broken}
    chips = (read("chips", keys.chips) or {}).get("chips", [])
    count = rules.enough([chip["accuracy"] for chip in chips])
    if count is None:
        return None
    row |= _simulated(chips[:count])
    broken = rules.broken(row, simulated=True)
    return {"status": "infeasible" if broken else "done", **row, "message": broken or ""}


def only_price_missing(read: Read, keys: Keys, rules: Rules) -> bool:
    """Whether all but the cost of a point is there, its baseline and enough chips included."""
    shared: tuple[Stage, ...] = ("dense", "compressed", "placement", "baseline")
    if any(read(stage, getattr(keys, stage)) is None for stage in shared):
        return False
    chips = (read("chips", keys.chips) or {}).get("chips", [])
    return rules.enough([chip["accuracy"] for chip in chips]) is not None


def feasible_so_far(read: Read, keys: Keys, rules: Rules) -> bool:
    """Whether a point breaks no constraint by what is known without simulation."""
    row = _before_chips(read, keys)
    return row is None or rules.broken(row, simulated=False) is None


def _before_chips(read: Read, keys: Keys) -> Row | None:
    found: dict[str, Mapping[str, Any]] = {}
    stages_read: tuple[Stage, ...] = ("dense", "compressed", "placement", "cost")
    for stage in stages_read:
        record = read(stage, getattr(keys, stage))
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
