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
"""A stage's record by its key, None where there is none: `Store.read`."""


class Rows:
    """Puts rows together; what points have in common is read and worked out once.

    Records of stages that many points share are remembered, as they never change; chips come to be more.
    """

    def __init__(self, read: Read) -> None:
        """read: the store's."""
        self._read = read
        self._remembered: dict[str, Mapping[str, Any]] = {}
        self._simulated: dict[tuple[str, Rules], Row] = {}
        self._networks: dict[tuple[str, str, str], Row] = {}

    def row(self, keys: Keys, rules: Rules, costs: Mapping[str, Any] | None = None) -> Row | None:
        """The results of a point, None where a stage that it needs is missing; costs: where the store lacks them."""
        row = self.before_chips(keys, costs)
        if row is None:
            return None
        broken = rules.broken(row, simulated=False)
        if broken is not None:
            return {"status": "infeasible", **row, "message": broken}
        simulated = self.simulated(keys, rules)
        if simulated is None:
            return None
        row |= simulated
        broken = rules.broken(row, simulated=True)
        return {"status": "infeasible" if broken else "done", **row, "message": broken or ""}

    def placed(self, keys: Keys) -> bool:
        """Whether a point's networks both stand on arrays, so that it can be priced."""
        return self._network(keys) is not None and self._shared("baseline", keys.baseline) is not None

    def simulated(self, keys: Keys, rules: Rules) -> Row | None:
        """What enough chips give; None where there are too few yet."""
        name = (keys.chips, rules)
        if name not in self._simulated:
            chips = (self._read("chips", keys.chips) or {}).get("chips", [])
            count = rules.enough([chip["accuracy"] for chip in chips])
            if count is None:
                return None
            self._simulated[name] = _simulated(chips[:count])
        return self._simulated[name]

    def before_chips(self, keys: Keys, costs: Mapping[str, Any] | None = None) -> Row | None:
        """All but what simulation gives, None where a stage is missing."""
        network = self._network(keys)
        costs = costs if costs is not None or network is None else self._read("cost", keys.cost)
        if network is None or costs is None:
            return None
        placed, baseline = costs["placed"], costs["baseline"]
        return {
            **network,
            **{name: placed.get(name) for name in _COSTS},
            **{f"{name}_baseline": baseline.get(name) for name in _BASELINE},
            "arrays_baseline": costs["arrays_baseline"],
        }

    def _network(self, keys: Keys) -> Row | None:
        """What the network is like before it is priced."""
        name = (keys.dense, keys.compressed, keys.placement)
        if name not in self._networks:
            dense = self._shared("dense", keys.dense)
            compressed = self._shared("compressed", keys.compressed)
            placement = self._shared("placement", keys.placement)
            if dense is None or compressed is None or placement is None:
                return None
            stages, kept = compressed["stages"], placement["weights_kept"]
            quantised = placement["quantised"]
            self._networks[name] = {
                "accuracy_dense": dense["accuracy"],
                "accuracy_pruned": stages["pruned"],
                "accuracy_quantised": stages["quantised"] if quantised is None else quantised,
                "arrays": placement["arrays"],
                "weights": placement["weights"],
                "weights_kept": kept,
                "compression": placement["weights"] / kept if kept else float(placement["weights"]),
                "macs_on_arrays": placement["macs_on_arrays"],
            }
        return self._networks[name]

    def _shared(self, stage: Stage, key: str) -> Mapping[str, Any] | None:
        name = f"{stage} {key}"
        if name not in self._remembered:
            found = self._read(stage, key)
            if found is None:
                return None
            self._remembered[name] = found
        return self._remembered[name]


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
