"""Chips that are tested before the network is placed on them, each around its own stuck cells.

A rate of faults says nothing of where they are, so nothing can be moved for it; a chip that has been tested has a map.
With mapping.avoid_faults every simulated chip counts as tested: its map is the one that its seed draws, known exactly,
and the network is placed for that chip alone (`mapping.avoid_faults`). Every chip is run as placed first, too, so that
what moving gives back is measured on the same chip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

import mapping
from experiments.setup import Setup
from mapping import CrossbarNetwork, Placement
from mapping.calibration import calibrate

MEANS = ("faulty_cells", "lines_moved", "columns_exchanged", "arrays_moved", "index_bits")
"""What is counted on every chip, and told as the mean over them."""


def around_faults(setup: Setup, placement: Placement, told: Placement, seed: int) -> tuple[Placement, pd.DataFrame]:
    """A placement moved around the faults that the devices of `told` draw for a chip, and the table of what moved.

    told: the placement itself, or what it was before some of its errors were switched off: the chip is the same.
    """
    own_ranges = any(len(layer.calibration.converters) for layer in told.layers.values())
    example = setup.calibration if own_ranges else None
    found = mapping.avoid_faults(told, seed, example_input=example)
    if told is placement:
        return found.placement, found.table
    tiles = {name: layer.tiles for name, layer in found.placement.layers.items()}
    layers = {name: replace(layer, tiles=tiles[name]) for name, layer in placement.layers.items()}
    moved = replace(placement, layers=layers, homes=found.placement.homes)
    if example is not None:
        moved = calibrate(moved, example)
    return moved, found.table


def tested_chip(
    setup: Setup, placement: Placement, told: Placement, seed: int, evaluate: Callable[[nn.Module], float]
) -> tuple[CrossbarNetwork, dict[str, Any]]:
    """The network on a chip that was tested first, and what that made of it.

    Keys: accuracy_unmoved (only where told is the placement itself), error_before and error_after (‖Δw‖ / ‖w‖ that
    faults alone make, root mean square over the layers), and `MEANS`.
    """
    moved, table = around_faults(setup, placement, told, seed)
    errors = {name: float(np.sqrt((table[name].to_numpy() ** 2).mean())) for name in ("error_before", "error_after")}
    found: dict[str, Any] = errors | {name: sum(table[name].tolist()) for name in MEANS}
    if told is placement:
        before = CrossbarNetwork(placement, seed=seed, conditions=setup.conditions)
        found = {"accuracy_unmoved": evaluate(before)} | found
    return CrossbarNetwork(moved, seed=seed, conditions=setup.conditions), found


def record(seeds: Sequence[dict[str, Any]], placement: Placement, quantised: float) -> dict[str, Any] | None:
    """What moving around faults gave back and took, over the chips; None where it was not asked for.

    recovered: of what the chips lost unmoved against the quantised network the share that moving gives back.
    """
    told = [row["faults"] for row in seeds if "faults" in row]
    if not told:
        return None
    unmoved = [row["accuracy_unmoved"] for row in told]
    before, after = float(np.mean(unmoved)), float(np.mean([row["accuracy"] for row in seeds]))
    lost = quantised - before
    means = {name: float(np.mean([row[name] for row in told])) for name in (*MEANS, "error_before", "error_after")}
    return {
        "chips": len(told),
        "accuracy_unmoved": unmoved,
        "accuracy_unmoved_mean": before,
        "accuracy_moved_mean": after,
        "recovered": (after - before) / lost if lost > 0 else None,
        "index_bits_unmoved": sum(placement.layer_table["index_bits"].tolist()),
        **means,
    }


def table(seeds: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row per tested chip: chip, accuracy, and what `tested_chip` tells."""
    return pd.DataFrame([{"chip": row["chip"], "accuracy": row["accuracy"]} | row["faults"] for row in seeds])
