"""What a configuration's chip costs without training it: its constraints project the network as it starts."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from torch import nn

import admm
from experiments import stages
from experiments.config import Config
from experiments.progress import Progress
from experiments.setup import prepare
from hwmodels.errors import UserError

_NO_EPOCHS = {"admm_epochs": 0, "retrain_epochs": 0, "finish_epochs": 0, "quantise_epochs": None, "purify": None}


def cost(config: Config, name: str, progress: Progress) -> tuple[dict[str, float], float]:
    """Costs of the placed chip and what it saves against the baseline, and the frame rate of both [1/s].

    Counts, area and time follow from shapes and constraints; what else training leaves dead (a row whose weights are
    all 0, a kernel's pattern) moves them by a few per cent. Cells' energy follows from the untrained network.
    Raises UserError for a mistake in the configuration, and where an accuracy floor decides what stays.
    """
    if config.compress.target is not None and config.compress.limit is None:
        raise UserError(
            f"{name}: compress.accuracy_floor without a limit decides by accuracy what stays, so nothing can be priced "
            "without a run; give compress.limit, or compare the run."
        )
    untrained = replace(config, compress=replace(config.compress, solver="admm", **_NO_EPOCHS))
    setup = prepare(untrained, name, progress)
    with tempfile.TemporaryDirectory() as folder, progress.task(f"Pricing {name}", 1) as task:
        compressed = admm.compress(
            setup.network, setup.plan, setup.compression_batches(), _unknown, checkpoint_dir=Path(folder)
        )
        placement = stages.place(setup, compressed)
        baseline = stages.place_baseline(setup, setup.network)
        priced = stages.price(setup, baseline, placement)
        task.advance()
    totals, before = priced["placed"].totals, priced["baseline"].totals
    layers = placement.layer_table
    weights, kept = (float(layers[column].to_numpy().sum()) for column in ("weights", "kept"))
    values = {key: float(totals[key]) for key in ("area_mm2", "power_mw", "energy_nj", "latency_us", "full_rate_hz")}
    values |= {"arrays": float(placement.arrays), "weights_kept": kept, "macs_on_arrays": placement.macs_on_arrays}
    values["compression"] = weights / kept if kept else weights
    values["reduction_arrays"] = 1 - placement.arrays / baseline.arrays
    for key, column in (("area", "area_mm2"), ("power", "power_mw"), ("energy", "energy_nj")):
        values[f"reduction_{key}"] = 1 - totals[column] / before[column]
    return values, float(totals["frame_rate_hz"])


def _unknown(_: nn.Module) -> float:
    """No accuracy: nothing is trained, so none would mean anything."""
    return 0.0
