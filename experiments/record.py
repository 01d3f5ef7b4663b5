"""The record of a run: `result.json` and the tables beside it, written from what the stages have made."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from admm import Compressed
from crossbar import ArraySpec
from experiments import tornado
from experiments.budget_record import budget_account
from experiments.floor_search import held_out_accuracy
from experiments.report import SCHEMA
from experiments.setup import Setup
from hwmodels import Estimate
from mapping import Placement, lossless_bits
from mapping.placement import LayerPlacement

CONFIDENCE = 0.95
CLIPPED_WARNING = 1e-3
"""Share of clipped converter samples or inputs above which the report warns."""

LAYER_COLUMNS = (
    "layer", "kind", "rows", "cols", "groups", "weights", "kept", "rows_kept", "cols_kept", "arrays_baseline",
    "arrays_placed", "macs", "input_phases", "adc_clipped", "input_clipped", "levels_used",
    "adc_bits_tight", "adc_bits_safe",
)  # fmt: skip

TOTALS = ("area_mm2", "power_mw", "energy_nj", "latency_us", "power_peak_mw")
OPTIONAL_TOTALS = (
    "leakage_mw", "full_rate_hz", "power_full_rate_mw", "programming_energy_nj", "programming_time_us",
)  # fmt: skip
"""Totals that a record may lack: writing is known only where the device or the library tells."""

_VERSIONED = ("ohmweave", "torch", "numpy", "numba", "pandas", "scipy")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the stages have made: all that the record is written from.

    accuracy: on the test set, by stage (dense, pruned, quantised); training: history of the dense network; seeds: per
    chip its number, accuracy and clipped samples; cost: of "baseline" and "placed"; seconds: by stage.
    """

    accuracy: dict[str, float]
    training: pd.DataFrame
    compressed: Compressed
    placement: Placement
    seeds: list[dict[str, Any]]
    baseline: Placement
    cost: dict[str, Estimate]
    seconds: dict[str, float]


def build(setup: Setup, outcome: Outcome, command: str) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The record (JSON-able, as the schema has it) and the tables by name."""
    compressed, placement, baseline = outcome.compressed, outcome.placement, outcome.baseline
    layers = layer_table(outcome)
    placed_cost, baseline_cost = outcome.cost["placed"], outcome.cost["baseline"]
    violations = compressed.violations()
    off_levels = sum(off_grid(layer, compressed) for layer in placement.layers.values())
    total, kept = sum(layers["weights"].tolist()), sum(layers["kept"].tolist())
    pairs = {
        key: {"baseline": float(baseline_cost.totals[key]), "placed": float(placed_cost.totals[key])}
        for key in (*TOTALS, *OPTIONAL_TOTALS)
        if key in baseline_cost.totals and key in placed_cost.totals
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
        "interval": {key: list(placed_cost.interval[key]) for key in TOTALS},
        "frame_rate_hz": float(placed_cost.totals["frame_rate_hz"]),
        "reduction": {
            "area": saved(pairs["area_mm2"]),
            "power": saved(pairs["power_mw"]),
            "energy": saved(pairs["energy_nj"]),
            "arrays": saved(arrays),
        },
        "levels_violations": violations["levels"] + off_levels,
        "constraint_violations": violations["constraints"],
        "layers": layers.to_dict("records"),
        "digital": [vars(item) for item in placement.digital],
        "macs_on_arrays": placement.macs_on_arrays,
        "warnings": warnings(setup, outcome, layers),
        "assumptions": assumptions(setup, outcome),
        "sources": sources(setup, outcome),
    }
    tables: dict[str, pd.DataFrame] = {
        "cost_baseline": baseline_cost.table,
        "cost_placed": placed_cost.table,
        "layers": layers,
        "uncertainty": tornado.table(placed_cost),
        "history": compressed.history,
        "training": outcome.training,
        "tiles": placement.tiles,
        "seeds": pd.DataFrame(
            [{"chip": row["chip"], "seed": row["seed"], "accuracy": row["accuracy"]} for row in outcome.seeds]
        ),
    }
    if len(compressed.choices):
        tables["choices"] = compressed.choices
    return record, tables


def off_grid(layer: LayerPlacement, compressed: Compressed) -> int:
    """Weights of a layer that stand on arrays with another value than compression gave them.

    Counted where compression quantised the layer; a layer that it left free has no levels to miss, and what placing
    moved there is the layer's snap_error.
    """
    if layer.name not in compressed.grids:
        return 0
    weight = compressed.model.get_submodule(layer.name).weight
    assert isinstance(weight, Tensor)
    return int((layer.weights() != weight.detach().cpu()).sum())


def saved(pair: dict[str, Any]) -> float:
    """Share saved against the baseline; negative where the placed network takes more."""
    return 1 - pair["placed"] / pair["baseline"] if pair["baseline"] else 0.0


def accuracies(outcome: Outcome, samples: int) -> dict[str, Any]:
    """Accuracy through the stages; on crossbars the mean, spread and Student-t interval over the chips."""
    from scipy import stats

    values = [row["accuracy"] for row in outcome.seeds]
    mean = float(np.mean(values))
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    half = (
        float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * std / len(values) ** 0.5 if len(values) > 1 else 0
    )
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
    table = outcome.placement.layer_table.rename(columns={"arrays": "arrays_placed"})
    before = outcome.baseline.layer_table
    arrays = dict(zip(before["layer"], before["arrays"], strict=True))
    table["arrays_baseline"] = [arrays[layer] for layer in table["layer"]]
    for kind in ("adc", "input"):
        table[f"{kind}_clipped"] = [_clipped(outcome, layer, kind) for layer in table["layer"]]
    bits = lossless_bits(outcome.placement)
    for form in ("adc_bits_tight", "adc_bits_safe"):
        table[form] = pd.Series([None if np.isnan(b) else int(b) for b in bits[form]], dtype=object)
    return table.reindex(columns=list(LAYER_COLUMNS))


def _clipped(outcome: Outcome, layer: str, kind: str) -> float:
    counts = [row["clipping"][layer] for row in outcome.seeds]
    samples = sum(count[f"{kind}_samples"] for count in counts)
    return sum(count[f"{kind}_clipped"] for count in counts) / samples if samples else 0.0


def warnings(setup: Setup, outcome: Outcome, layers: pd.DataFrame) -> list[str]:
    """What a reader must know before quoting the figures."""
    found = []
    for row in layers.to_dict("records"):
        for kind, what in (("adc", "converter samples"), ("input", "inputs")):
            share = row[f"{kind}_clipped"]
            if share > CLIPPED_WARNING:
                found.append(
                    f"Layer {row['layer']}: {100 * share:.2f} % of its {what} lay beyond the calibrated range."
                )
        if row["kept"] == 0:
            found.append(f"Layer {row['layer']} lost all its weights: its output is its bias.")
    share = outcome.placement.macs_on_arrays
    if share < 0.999:
        found.append(f"{100 * (1 - share):.1f} % of the multiply-accumulates are not on arrays and are not priced.")
    free = [layer for layer in outcome.placement.layers.values() if layer.snap_error > 0]
    if free:
        worst = max(free, key=lambda layer: layer.snap_error)
        found.append(
            f"{len(free)} layer(s) were not quantised in training and snapped to the levels when placed; the largest "
            f"relative weight error is {100 * worst.snap_error:.1f} % in {worst.name}."
        )
    found += _missed(setup, outcome)
    if len(outcome.seeds) == 1:
        found.append("One chip was simulated: there is no interval over devices.")
    found += [f"{note.rstrip('.')}." for note in outcome.cost["placed"].prices.notes]
    if setup.array.device.unverified:
        fields = ", ".join(setup.array.device.unverified)
        found.append(f"Device {setup.array.device.name}: no published source for {fields}.")
    return found


def _missed(setup: Setup, outcome: Outcome) -> list[str]:
    """A sentence each where the placed network takes more than the target allows, or misses the accuracy floor."""
    if setup.target is None:
        return []
    found, floor = [], setup.config.compress.accuracy_floor
    account = budget_account(setup, setup.target, outcome.compressed, outcome.cost["placed"])
    if not account["met"]:
        found.append(
            f"The target is missed: the placement takes {account['placed']:g}, the budget was {account['limit']:g}."
        )
    if floor is not None and (reached := held_out_accuracy(setup, outcome.compressed.model)) < floor:
        found.append(f"The accuracy floor of {floor:g} is missed: {reached:.4f} of the held-out samples are right.")
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
        "Lossless ADC bits of a layer: one step of the converter for one step of conductance, over all inputs; g_min "
        "stays in the sums, because each array is converted apart.",
        _wires(array),
    ]
    return said + outcome.cost["placed"].assumptions


def _wires(array: ArraySpec) -> str:
    if not array.has_wires:
        return "Word and bit lines are ideal conductors: no IR drop is simulated."
    return (
        f"Wires are exact: {array.r_word_ohm:g} Ω a word-line segment, {array.r_bit_ohm:g} Ω a bit-line segment, "
        f"{array.r_source_ohm:g} Ω a driver, {array.r_sink_ohm:g} Ω a read-out; word lines not in use float. "
        "The energy of the cells is that behind ideal wires, an upper bound."
    )


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
