"""The record of a run: `result.json` and the tables beside it, written from what the stages have made."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from admm import Compressed
from crossbar import ArraySpec, to_matrix
from crossbar.levels import embedding
from experiments import cautions, placements, tested_chips, waterfall
from experiments.outcome import Outcome
from experiments.reporting import converter_report, tornado
from experiments.reporting.report import SCHEMA
from experiments.setup import Setup
from experiments.sweeping.statistics import spread
from hwmodels import Estimate
from hwmodels.costs import cost_account
from mapping import lossless_bits
from mapping.placement import LayerPlacement

LAYER_COLUMNS = (
    "layer", "kind", "rows", "cols", "groups", "weights", "kept", "rows_kept", "cols_kept", "arrays_baseline",
    "arrays_placed", "arrays_bound", "index_bits", "macs", "input_phases", "adc_clipped", "input_clipped",
    "levels_used", "adc_bits_tight", "adc_bits_safe", *converter_report.COLUMNS,
)  # fmt: skip

TOTALS = ("area_mm2", "power_mw", "energy_nj", "latency_us", "power_peak_mw")
OPTIONAL_TOTALS = (
    "leakage_mw", "full_rate_hz", "power_full_rate_mw", "programming_energy_nj", "programming_time_us",
)  # fmt: skip
"""Totals that a record may lack: writing is known only where the device or the library tells."""

_VERSIONED = ("ohmweave", "torch", "numpy", "numba", "pandas", "scipy")


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
    spent = {stage: round(seconds, 3) for stage, seconds in outcome.seconds.items()}
    faults = tested_chips.record(outcome.seeds, placement, outcome.accuracy["quantised"])
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "name": setup.name,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": setup.config.resolved(),
        "config_hash": setup.config.digest(),
        "seed": setup.config.seed,
        "versions": versions(),
        "seconds": sum(spent.values()),
        "stage_seconds": spent,
        "accuracy": accuracies(outcome, len(setup.dataset.test[1])),
        **({} if outcome.waterfall is None else {"waterfall": outcome.waterfall}),
        **({} if faults is None else {"faults": faults}),
        "weights": {"total": total, "kept": kept},
        "compression": total / kept if kept else float(total),
        "arrays": arrays,
        "arrays_bound": placement.arrays_bound,
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
        "layers": _records(layers),
        "digital": [vars(item) for item in placement.digital],
        "macs_on_arrays": placement.macs_on_arrays,
        "macs_total": placement.macs_total,
        "warnings": cautions.warnings(setup, outcome, layers),
        "assumptions": [
            *assumptions(setup, outcome),
            *placements.sentences(setup.config, placement, faults),
            *placed_cost.assumptions,
        ],
        "sources": sources(setup, outcome),
    }
    tables: dict[str, pd.DataFrame] = {
        "cost_baseline": baseline_cost.table,
        "cost_placed": placed_cost.table,
        "cost_layers": pd.concat(
            [result.layers.assign(chip=chip) for chip, result in outcome.cost.items()], ignore_index=True
        ),
        "layers": layers,
        "uncertainty": tornado.table(placed_cost),
        "history": compressed.history,
        "training": outcome.training,
        "tiles": placement.tiles,
        "adc_histogram": converter_report.histograms(placement),
        "clipping": pd.DataFrame(
            [
                {"chip": row["chip"], "layer": layer} | counted
                for row in outcome.seeds
                for layer, counted in row["clipping"].items()
            ]
        ),
        **accounts(setup, outcome.cost),
        "seeds": pd.DataFrame(
            [{"chip": row["chip"], "seed": row["seed"], "accuracy": row["accuracy"]} for row in outcome.seeds]
        ),
    }
    if faults is not None:
        tables["faults"] = tested_chips.table(outcome.seeds)
    if outcome.waterfall is not None:
        tables["waterfall"] = waterfall.table(outcome.waterfall)
    if len(compressed.choices):
        tables["choices"] = compressed.choices
    return record, tables


def accounts(setup: Setup, cost: dict[str, Estimate]) -> dict[str, pd.DataFrame]:
    """How both chips' costs came about: counts, prices and times (`cost_account`), with a column chip."""
    array, device = setup.array, setup.array.device
    reading = cost_account.Reading(
        voltage_v=device.read_voltage_v,
        t_read_s=array.t_read_s,
        voltage_source=f"device {device.name}: {device.sources.get('read_voltage_v', 'its read voltage')}",
        time_source="crossbar.t_read_s",
    )
    found: dict[str, list[pd.DataFrame]] = {"counts": [], "prices": [], "times": []}
    for chip, result in cost.items():
        # Intervals are stated for the placed chip only.
        ends = TOTALS if chip == "placed" else ()
        for name, table in (
            ("counts", cost_account.counts(result, reading)),
            ("prices", cost_account.prices(result, reading, ends)),
            ("times", cost_account.times(result, ends)),
        ):
            table.insert(0, "chip", chip)
            found[name].append(table)
    return {name: pd.concat(tables, ignore_index=True) for name, tables in found.items()}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table; what is not known is None, as JSON has it."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def off_grid(layer: LayerPlacement, compressed: Compressed) -> int:
    """Weights of a layer that stand on arrays with another value than compression gave them.

    Counted where compression quantised the layer to levels of the arrays; a layer that it left free, or on levels that
    the arrays lack, has none to miss, and what placing moved there is the layer's snap_error. A weight that placing
    freed, because nothing ever reads it (`mapping.freeing`), stands on no array.
    """
    grid = compressed.grids.get(layer.name)
    if grid is None or embedding(grid.values, layer.grid.values) is None:
        return 0
    weight = compressed.model.get_submodule(layer.name).weight
    assert isinstance(weight, Tensor)
    geometry = layer.geometry
    given = to_matrix(geometry.lowered(weight.detach().cpu()), geometry.groups).numpy()
    return int((layer.live & (layer.grid.weights(layer.index) != given)).sum())


def saved(pair: dict[str, Any]) -> float:
    """Share saved against the baseline; negative where the placed network takes more."""
    return 1 - pair["placed"] / pair["baseline"] if pair["baseline"] else 0.0


def accuracies(outcome: Outcome, samples: int) -> dict[str, Any]:
    """Accuracy through the stages; on crossbars the mean, spread and Student-t interval over the chips."""
    values = [row["accuracy"] for row in outcome.seeds]
    on_crossbars = {name.removeprefix("accuracy_"): value for name, value in spread(values).items()}
    return {
        **{stage: outcome.accuracy[stage] for stage in ("dense", "pruned", "quantised")},
        **on_crossbars,
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
    placement = outcome.placement
    found = [converter_report.of_layer(placement.layers[layer], placement.array) for layer in table["layer"]]
    table = table.join(pd.DataFrame(found, columns=list(converter_report.COLUMNS)).convert_dtypes())
    return table.reindex(columns=list(LAYER_COLUMNS))


def _clipped(outcome: Outcome, layer: str, kind: str) -> float:
    counts = [row["clipping"][layer] for row in outcome.seeds]
    samples = sum(count[f"{kind}_samples"] for count in counts)
    return sum(count[f"{kind}_clipped"] for count in counts) / samples if samples else 0.0


def assumptions(setup: Setup, outcome: Outcome) -> list[str]:
    """What the accuracies rest on, in sentences; `placements.sentences` and the estimate say the rest."""
    array, config = setup.array, setup.config
    tested = "the test set is" if config.data.held_out is None else "held-out training samples, not the test set, are"
    return [
        f"Baseline: the unpruned network at {config.hardware.baseline_bits} bits ({setup.baseline.slices} cell(s) per "
        f"{_cells(setup.baseline)}), on arrays of the same size, converters and inputs, priced at the same frame rate.",
        f"Input and converter ranges come from the first training samples; {tested} used for the reported "
        "accuracies (and shown per epoch, where nothing is chosen by it).",
        f"{_signs(array)} Biases, normalisation, activations and all else that is left digital have no error.",
        converter_report.assumption(array),
        f"A crossing that carries no weight is {_idle(array)}.",
        "Lossless ADC bits of a layer: one step of the converter for one step of conductance, over all inputs; g_min "
        "stays in the sums wherever nothing cancels it before the converter.",
        _wires(array),
    ]


def _cells(array: ArraySpec) -> str:
    """What a weight's slices hold, and where its sign is."""
    if array.encoding != "pair":
        return f"weight, encoding {array.encoding!r}"
    apart = "separate arrays" if array.pair_layout == "arrays" else "neighbouring columns"
    return f"magnitude, positive and negative weights on {apart}"


def _signs(array: ArraySpec) -> str:
    """How weights of both signs come out of conductances."""
    if array.encoding == "polarised":
        return (
            f"The {array.fragment} rows of a fragment are read in turn with the other fragments of their array, and "
            "their sums signed digitally."
        )
    if array.encoding == "pair":
        where = "arrays" if array.pair_layout == "arrays" else "columns"
        if array.pair_subtraction == "analog":
            return f"The currents of positive and negative {where} are subtracted before one converter."
        return f"Positive and negative {where} are converted apart and subtracted digitally."
    if array.offset_correction == "analog":
        return "A dummy column of real cells at the reference is subtracted from every column before its converter."
    counted = "the sum of the input codes that is counted digitally beside the drivers (not priced)"
    flipped = ", flipped columns put right with the same sum" if array.encoding == "flipped" else ""
    return f"The reference is taken off digitally, times {counted}{flipped}."


def _idle(array: ArraySpec) -> str:
    """What stands where no weight does."""
    if array.encoding in ("offset", "flipped"):
        return "a cell at the reference, where its array has other weights in the same row and column"
    return "open (no cell)" if array.idle == "open" else "a cell at g_min"


def _wires(array: ArraySpec) -> str:
    if not array.has_wires:
        return "Word and bit lines are ideal conductors: no IR drop is simulated."
    access = f", {array.r_access_ohm:g} Ω an access transistor" if array.r_access_ohm else ""
    ends = " Word lines are driven at both ends; the second drivers are not priced." if array.both_ends else ""
    idle = "shut off" if array.unused_rows == "off" else array.unused_rows
    return (
        f"Wires are {'exact' if array.wire_model == 'exact' else 'approximated (wire_model = fast)'}: "
        f"{array.r_word_ohm:g} Ω a word-line segment, {array.r_bit_ohm:g} Ω a bit-line segment, "
        f"{array.r_source_ohm:g} Ω a driver, {array.r_sink_ohm:g} Ω a read-out{access}; word lines not in use are "
        f"{idle}.{ends} The energy of the cells is that behind ideal wires, an upper bound."
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
