"""What [mapping] asks for: how a run's network is put on arrays, and its chips each around its own stuck cells.

A rate of faults says nothing of where they are, so nothing can be moved for it; a chip that has been tested has a map.
With mapping.avoid_faults every simulated chip counts as tested: its map is the one that its seed draws, known exactly,
and the network is placed for that chip alone (`mapping.avoid_faults`). Every chip is run as placed first, too, so that
what moving gives back is measured on the same chip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

import mapping
from crossbar import ArraySpec
from experiments.config import Config
from experiments.progress import Progress
from hwmodels.devices.faults import any_faults
from hwmodels.errors import UserError
from mapping import CrossbarNetwork, Placement, Placing
from mapping.array_choice import check_spares
from mapping.calibration import calibrate

if TYPE_CHECKING:
    from experiments.setup import Setup

MEANS = ("faulty_cells", "lines_moved", "columns_exchanged", "arrays_moved", "index_bits")
"""What is counted on every chip, and told as the mean over them."""


def placing_of(config: Config) -> Placing:
    """The choices of [mapping] that placing takes."""
    section = config.mapping
    return Placing(
        repack=section.repack, share=section.share, spare_rows=section.spare_rows, spare_cols=section.spare_cols
    )


def check(config: Config, array: ArraySpec, progress: Progress) -> None:
    """Raise UserError for spares that leave no room, or a target beside them; note faults that there are none of."""
    section = config.mapping
    try:
        check_spares(array, section.spare_rows, section.spare_cols)
    except UserError as error:
        raise UserError(f"[mapping] {error}") from None
    if config.compress.target is not None and placing_of(config) != Placing():
        raise UserError(
            "compress.target prices what plain tiling takes; leave out mapping.repack, mapping.share and the spare "
            "lines, or the target."
        )
    if section.avoid_faults and not any_faults(array.device):
        progress.note(f"{array.device.name} has no faulty cells: mapping.avoid_faults changes nothing.")


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


def sentences(config: Config, placement: Placement, faults: dict[str, Any] | None) -> list[str]:
    """What is to be known of how the network stands on its arrays."""
    section, bits = config.mapping, sum(placement.layer_table["index_bits"].tolist())
    chosen = [*(["rows and columns repacked"] if section.repack else [])]
    chosen += [f"arrays shared within the {section.share}"] if section.share != "none" else []
    chosen += [f"{section.spare_rows} rows and {section.spare_cols} columns of every array spare"] * bool(
        section.spare_rows or section.spare_cols
    )
    how = f" ({', '.join(chosen)})" if chosen else ""
    found = [
        f"The network takes {placement.arrays} arrays{how}; no tiling of its masks takes fewer than "
        f"{placement.arrays_bound}."
    ]
    if bits:
        found.append(
            f"Tables of {bits / 8192:.3g} KiB say which input drives each word line and which output each column "
            "gives; no component library prices them, so they count 0."
        )
    if faults is not None:
        gave = faults["recovered"]
        share = "" if gave is None else f", {100 * gave:.0f} % of what the chips lose against the quantised network"
        found.append(
            f"Every chip counts as tested: its map of stuck cells is the one that its seed draws, and the network is "
            f"placed for that chip. Moving gives back "
            f"{100 * (faults['accuracy_moved_mean'] - faults['accuracy_unmoved_mean']):.2f} points of accuracy{share}; "
            f"as placed the mean is {100 * faults['accuracy_unmoved_mean']:.2f} %. It takes index tables of "
            f"{faults['index_bits'] / 8192:.3g} KiB instead of {faults['index_bits_unmoved'] / 8192:.3g} KiB. Testing "
            "chips, placing for each and these tables are not priced."
        )
    return found
