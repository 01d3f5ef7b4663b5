"""What a reader must know before quoting the figures of a run, in sentences."""

from __future__ import annotations

import pandas as pd

from experiments.outcome import Outcome
from experiments.setup import Setup
from experiments.sweeping.statistics import half_width
from experiments.targeting.budget_record import budget_account
from experiments.targeting.floor_search import held_out_accuracy
from hwmodels import Estimate
from mapping import Placement
from mapping.trace import COMPUTED

CLIPPED_WARNING = 1e-3
"""Share of clipped converter samples or inputs above which the report warns."""
EMPTY_WARNING = 0.5
"""Share of the arrays' cells under which the report says that they are mostly empty."""
NAMED_MOST = 4
"""Names that a sentence lists."""


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
    found += _left_digital(outcome.placement)
    free = [layer for layer in outcome.placement.layers.values() if layer.snapped]
    if free:
        worst = max(free, key=lambda layer: layer.snap_error)
        found.append(
            f"{len(free)} layer(s) were not on levels of the arrays and snapped to them when placed; the largest "
            f"relative weight error is {100 * worst.snap_error:.1f} % in {worst.name}."
        )
    found += _missed(setup, outcome)
    found += _unsure(outcome)
    found += _mostly_empty(outcome.placement)
    found += [f"{note.rstrip('.')}." for note in outcome.cost["placed"].prices.notes]
    found += _derived(outcome.cost["placed"])
    if setup.array.device.unverified:
        fields = ", ".join(setup.array.device.unverified)
        found.append(f"Device {setup.array.device.name}: no published source for {fields}.")
    return found


def _left_digital(placement: Placement) -> list[str]:
    """Layers with weights beside the arrays, and how much of the work is not priced."""
    share = placement.macs_on_arrays
    found = []
    if share < 0.999:
        found.append(f"{100 * (1 - share):.1f} % of the multiply-accumulates are not on arrays and are not priced.")
    layers = [item for item in placement.digital if _has_weights(item.reason)]
    if layers:
        named = _listed([f"{item.module or 'the network itself'} ({item.type})" for item in layers])
        found.append(f"{len(layers)} layer(s) with weights stay digital and are not priced: {named}.")
    return found


def _has_weights(reason: str) -> bool:
    """Whether what stays digital is a layer that one would look for on an array."""
    return reason != "has no weights" and not reason.startswith(("normalisation", COMPUTED))


def _unsure(outcome: Outcome) -> list[str]:
    """Where the chips say less than the figures seem to."""
    values = [row["accuracy"] for row in outcome.seeds]
    if len(values) == 1:
        return ["One chip was simulated: there is no interval over devices."]
    half, lost = half_width(values), outcome.accuracy["dense"] - sum(values) / len(values)
    if half <= abs(lost) or not half:
        return []
    return [
        f"The 95 % interval of the accuracy on crossbars (± {100 * half:.2f} points) is wider than its difference to "
        f"the dense network ({100 * abs(lost):.2f} points), which may be chance: more chips (simulate.seeds) tell."
    ]


def _mostly_empty(placement: Placement) -> list[str]:
    """Arrays that are paid for and hold little."""
    tiles = placement.tiles
    if not len(tiles):
        return []
    used = _covered(tiles)
    if used >= EMPTY_WARNING:
        return []
    shares = {str(layer): _covered(own) for layer, own in tiles.groupby("layer", sort=False)}
    least = min(shares, key=lambda name: shares[name])
    return [
        f"The arrays are mostly empty: pieces of layers cover {100 * used:.0f} % of their cells, "
        f"{100 * shares[least]:.0f} % in {least}. Smaller arrays would cost less."
    ]


def _covered(tiles: pd.DataFrame) -> float:
    """Share of the cells of the arrays that the pieces on them cover."""
    arrays = tiles.drop_duplicates("array")
    cells = (arrays["array_rows"].to_numpy() * arrays["array_cols"].to_numpy()).sum()
    return float((tiles["rows"].to_numpy() * tiles["cols"].to_numpy()).sum() / cells)


def _derived(cost: Estimate) -> list[str]:
    """Numbers that the library extrapolates by a law of its own, instead of from numbers of its source."""
    used = [row for row in cost.sources if str(row["source"]).startswith("derived:")]
    named = _listed(list(dict.fromkeys(str(row["component"]) for row in used)))
    return [f"Extrapolated by a law and printed by no source: the numbers of {named}."] if used else []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else ""
    return ", ".join(names[:NAMED_MOST]) + more


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
