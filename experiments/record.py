"""The record of a run: `result.json` and the tables beside it, written from what the stages have made."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from experiments.report import SCHEMA
from admm import Compressed
from experiments.setup import Setup
from hwmodels import Estimate
from mapping import Placement

CONFIDENCE = 0.95
CLIPPED_WARNING = 1e-3
"""Share of clipped converter samples above which the report warns."""

_VERSIONED = ("ohmweave", "torch", "numpy", "numba", "pandas", "scipy")


@dataclass
class Outcome:
    """What the stages have made so far, all that the record is written from."""

    accuracy: dict[str, float] = field(default_factory=dict)
    training: pd.DataFrame = field(default_factory=pd.DataFrame)
    compressed: Compressed | None = None
    placement: Placement | None = None
    seeds: list[dict[str, Any]] = field(default_factory=list)
    baseline: Placement | None = None
    cost: dict[str, Estimate] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def build(setup: Setup, outcome: Outcome, command: str) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The record (JSON-able, as the schema has it) and the tables by name."""
    compressed, placement, baseline = outcome.compressed, outcome.placement, outcome.baseline
    assert compressed is not None
    assert placement is not None
    assert baseline is not None
    layers = layer_table(outcome)
    placed_cost, baseline_cost = outcome.cost["placed"], outcome.cost["baseline"]
    violations = compressed.violations()
    total, kept = int(layers["weights"].sum()), int(layers["kept"].sum())
    pairs = {
        key: {"baseline": float(baseline_cost.totals[key]), "placed": float(placed_cost.totals[key])}
        for key in ("area_mm2", "power_mw", "energy_nj", "latency_us", "power_peak_mw")
    }
    arrays = {"baseline": baseline.arrays, "placed": placement.arrays}
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "name": setup.name,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": setup.config.resolved(),
        "config_hash": setup.config.digest(),
        "seed": setup.config.seed,
        "versions": versions(),
        "seconds": round(sum(outcome.seconds.values()), 3),
        "stage_seconds": {stage: round(seconds, 3) for stage, seconds in outcome.seconds.items()},
        "accuracy": accuracies(outcome, len(setup.dataset.test[1])),
        "weights": {"total": total, "kept": kept},
        "compression": total / kept if kept else float(total),
        "arrays": arrays,
        **pairs,
        "frame_rate_hz": float(placed_cost.totals["frame_rate_hz"]),
        "reduction": {
            "area": saved(pairs["area_mm2"]),
            "power": saved(pairs["power_mw"]),
            "energy": saved(pairs["energy_nj"]),
            "arrays": saved(arrays),
        },
        "levels_violations": violations["levels"],
        "constraint_violations": violations["constraints"],
        "layers": layers.to_dict("records"),
        "digital": [vars(item) for item in placement.digital],
        "macs_on_arrays": placement.macs_on_arrays,
        "warnings": warnings(setup, outcome, layers),
        "assumptions": assumptions(setup, outcome),
        "sources": sources(setup, outcome),
    }
    tables = {
        "cost_baseline": baseline_cost.table,
        "cost_placed": placed_cost.table,
        "layers": layers,
        "history": compressed.history,
        "training": outcome.training,
        "tiles": placement.tiles,
        "seeds": pd.DataFrame([{"seed": row["seed"], "accuracy": row["accuracy"]} for row in outcome.seeds]),
    }
    return record, tables


def saved(pair: dict[str, Any]) -> float:
    """Share saved against the baseline; negative where the placed network takes more."""
    return 1 - pair["placed"] / pair["baseline"] if pair["baseline"] else 0.0


def accuracies(outcome: Outcome, samples: int) -> dict[str, Any]:
    """Accuracy through the stages; on crossbars the mean, spread and Student-t interval over the chips."""
    from scipy import stats

    values = [row["accuracy"] for row in outcome.seeds]
    mean = float(np.mean(values))
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * std / len(values) ** 0.5 if len(values) > 1 else 0
    return {
        **{stage: outcome.accuracy[stage] for stage in ("dense", "pruned", "quantised")},
        "crossbar_mean": mean,
        "crossbar_std": std,
        "crossbar_low": max(mean - half, 0.0),
        "crossbar_high": min(mean + half, 1.0),
        "crossbar_seeds": values,
        "samples": samples,
    }


def layer_table(outcome: Outcome) -> pd.DataFrame:
    """A row per layer on arrays, with what the baseline took and what was clipped over all chips."""
    assert outcome.placement is not None
    assert outcome.baseline is not None
    table = outcome.placement.layer_table.rename(columns={"arrays": "arrays_placed"})
    before = outcome.baseline.layer_table.set_index("layer")["arrays"]
    table["arrays_baseline"] = table["layer"].map(before)
    for kind in ("adc", "input"):
        table[f"{kind}_clipped"] = [_clipped(outcome, layer, kind) for layer in table["layer"]]
    return table[
        ["layer", "kind", "rows", "cols", "groups", "weights", "kept", "rows_kept", "cols_kept", "arrays_baseline",
         "arrays_placed", "macs", "input_phases", "adc_clipped", "input_clipped", "levels_used"]
    ]  # fmt: skip


def _clipped(outcome: Outcome, layer: str, kind: str) -> float:
    counts = [row["clipping"][layer] for row in outcome.seeds]
    samples = sum(count[f"{kind}_samples"] for count in counts)
    return sum(count[f"{kind}_clipped"] for count in counts) / samples if samples else 0.0


def warnings(setup: Setup, outcome: Outcome, layers: pd.DataFrame) -> list[str]:
    """What a reader must know before quoting the figures."""
    assert outcome.placement is not None
    found = [
        f"Layer {row.layer}: {100 * row.adc_clipped:.2f} % of converter samples lay beyond the calibrated range."
        for row in layers.itertuples()
        if row.adc_clipped > CLIPPED_WARNING
    ]
    found += [
        f"Layer {row.layer} lost all its weights: its output is its bias."
        for row in layers.itertuples()
        if row.kept == 0
    ]
    share = outcome.placement.macs_on_arrays
    if share < 0.999:
        found.append(f"{100 * (1 - share):.1f} % of the multiply-accumulates are not on arrays and are not priced.")
    if len(outcome.seeds) == 1:
        found.append("One chip was simulated: there is no interval over devices.")
    if setup.array.device.unverified:
        fields = ", ".join(setup.array.device.unverified)
        found.append(f"Device {setup.array.device.name}: no published source for {fields}.")
    return found


def assumptions(setup: Setup, outcome: Outcome) -> list[str]:
    """What the figures rest on, in sentences."""
    array, config = setup.array, setup.config
    said = [
        f"Baseline: the unpruned network at {config.hardware.baseline_bits} bits ({setup.baseline.slices} cell(s) per "
        "magnitude, positive and negative weights on separate arrays), on arrays of the same size, converters and "
        "inputs, priced at the same frame rate.",
        "Input and converter ranges come from the first training images; the test set is used for the reported "
        "accuracies (and shown per epoch, where nothing is chosen by it).",
        "Positive and negative arrays are converted apart and subtracted digitally; biases, normalisation and "
        "activations are computed digitally without error.",
        f"A crossing that carries no weight is {'open (no cell)' if array.idle == 'open' else 'a cell at g_min'}.",
        "Word and bit lines are ideal conductors: no IR drop is simulated.",
    ]
    return said + outcome.cost["placed"].assumptions


def sources(setup: Setup, outcome: Outcome) -> list[dict[str, str]]:
    """Where the device's and the components' numbers come from."""
    device = setup.array.device
    found = [
        {"what": f"device {device.name}: {key}", "value": _value_text(getattr(device, key, "")), "source": source}
        for key, source in device.sources.items()
    ]
    for row in outcome.cost["placed"].sources:
        node = f", {row['node_nm']:g} nm" if row.get("node_nm") else ""
        found.append(
            {
                "what": f"{row['component']}: {row['quantity']}",
                "value": f"{_value_text(row['value'])} {row['unit']}{node}",
                "source": str(row["source"]),
            }
        )
    return found


def _value_text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
