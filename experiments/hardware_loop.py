"""Hardware in the compression loop: the arrays that training sees, and the stuck cells that it trains for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from admm import Stuck
from crossbar import ArraySpec, from_matrix
from experiments.config import Compress
from hwmodels.errors import UserError, unknown
from mapping import Conditions, LayersOnArrays, Placing
from mapping.stuck import COLUMNS

_WIRES = ("r_word_ohm", "r_bit_ohm", "r_source_ohm", "r_sink_ohm", "r_access_ohm")


def training_array(section: Compress, array: ArraySpec) -> ArraySpec:
    """The arrays with those of their imperfections that compress.train_on names, ideal in everything else."""
    on, device = section.train_on, array.device
    if "mismatch" not in on:
        device = device.scaled_error(0)
    if "stuck" not in on:
        device = device.with_(stuck_at_lrs=0.0, stuck_at_hrs=0.0, clustered_faults=None, line_faults=None)
    if "read_noise" not in on:
        device = device.with_(telegraph_noise=None)
    changes: dict[str, Any] = {}
    if "wires" not in on:
        changes |= dict.fromkeys(_WIRES, 0.0)
    if "adc" not in on:
        changes |= {"adc_bits": None, "adc_errors": None, "adc_range": "calibrated", "adc_percentile": None}
        changes |= {"adc_range_per": "layer"}
    if "dac" not in on:
        changes |= {"input_bits": None, "dac_bits": 1, "dac_errors": None, "signed_inputs": "phases"}
        changes |= {"input_range": "calibrated", "input_percentile": None, "input_full_scale": None}
    return array.with_(device=device, **changes)


def training_conditions(section: Compress, conditions: Conditions) -> Conditions:
    """When and how warm training reads the cells: as the simulation with "drift", else at once."""
    drift = "drift" in section.train_on
    return Conditions(
        t_s=conditions.t_s if drift else 0.0,
        temperature_k=conditions.temperature_k if drift else None,
        read_noise="read_noise" in section.train_on,
    )


def wrapper(
    section: Compress,
    array: ArraySpec,
    conditions: Conditions,
    calibration: Tensor,
    placing: Placing | None = None,
) -> LayersOnArrays | None:
    """What masked stages wrap layers with; None where compress.train_on is empty."""
    if not section.train_on:
        if section.train_chips is not None:
            raise UserError("compress.train_chips says how often the chip changes; give compress.train_on as well.")
        return None
    return LayersOnArrays(
        training_array(section, array),
        calibration,
        conditions=training_conditions(section, conditions),
        chips=section.train_chips or "step",
        placing=placing,
    )


def read_stuck(path: Path, network: nn.Module) -> dict[str, Stuck]:
    """The pins of a file of stuck cells (CSV), by layer.

    A row is one weight: its layer, group (of a grouped convolution; may be left out), row and column of the lowered
    matrix (word line and bit line, from 0), and the value that its cells represent, in units of the largest level.
    `mapping.stuck_weights` makes such a table of a simulated chip.
    Raises UserError, naming file and row, for a missing or damaged file, an unknown layer and a place outside it.
    """
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}; compress.stuck_map names a CSV of stuck cells.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a CSV of stuck cells: {error}") from None
    if "group" not in table and len(table.columns):
        table["group"] = 0
    if sorted(table.columns) != sorted(COLUMNS):
        raise UserError(f"{path} has the columns {', '.join(table.columns)}; it needs {', '.join(COLUMNS)}.")
    modules = {name: module for name, module in network.named_modules() if hasattr(module, "weight")}
    return {
        str(name): _pins(path, str(name), modules, rows)
        for name, rows in table.groupby("layer", sort=False)  # type: ignore[misc]
    }


def _pins(path: Path, name: str, modules: dict[str, nn.Module], rows: pd.DataFrame) -> Stuck:
    if name not in modules:
        raise UserError(f"{path}: {unknown('layer', name, modules)}")
    weight, groups = modules[name].weight, int(getattr(modules[name], "groups", 1))  # type: ignore[arg-type]
    assert isinstance(weight, Tensor)
    shape = (groups, weight[0].numel(), weight.shape[0] // groups)
    where, value = np.zeros(shape, dtype=bool), np.zeros(shape)
    try:
        at = tuple(rows[key].to_numpy(dtype=np.int64) for key in ("group", "row", "col"))
        found = rows["value"].to_numpy(dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path}, layer {name!r}: not a number: {error}") from None
    outside = [bool(((index < 0) | (index >= size)).any()) for index, size in zip(at, shape, strict=True)]
    if any(outside):
        raise UserError(f"{path}: a cell lies outside layer {name!r} of {shape[1]} rows and {shape[2]} columns.")
    where[at], value[at] = True, found
    return Stuck(
        torch.from_numpy(np.ascontiguousarray(from_matrix(where, tuple(weight.shape)))),
        torch.from_numpy(np.ascontiguousarray(from_matrix(value, tuple(weight.shape)))).float(),
    )
