"""Which cells of a chip are faulty: the map of a real chip, or the faults that a device draws for a seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crossbar import ArraySpec
from hwmodels import Device, fault_map
from hwmodels.devices.faults import HRS, LRS, OPEN, value_of
from hwmodels.errors import UserError
from mapping.placement import Placement

FaultMaps = Mapping[int, np.ndarray]
"""By the number of the array, (rows, cols) of the whole array: 0 healthy, 1 at g_max, 2 at g_min, 3 open (0 S). Arrays
that are not in it have no faults."""


def faults_of_chip(placement: Placement, seed: int) -> dict[int, np.ndarray]:
    """The fault maps of all arrays in use on the chip of this seed, as the placement's devices draw them."""
    return {
        number: fault_map((spec.rows, spec.cols), spec.device, seed=seed, array=number)
        for number, spec in specs_of_arrays(placement).items()
    }


def checked_faults(placement: Placement, faults: FaultMaps) -> dict[int, np.ndarray]:
    """The maps as int8. Raises UserError for an array that the placement does not use, another shape or other codes."""
    specs = specs_of_arrays(placement)
    found = {}
    for number, given in faults.items():
        if number not in specs:
            raise UserError(
                f"There is a fault map of array {number}, but the placement uses arrays 0 to {len(specs) - 1}."
            )
        spec, codes = specs[number], np.asarray(given)
        if codes.shape != (spec.rows, spec.cols):
            raise UserError(
                f"The fault map of array {number} has the shape {codes.shape}, but the array has {spec.rows} × "
                f"{spec.cols} cells; give one code for every cell of the whole array."
            )
        if not np.isin(codes, (0, LRS, HRS, OPEN)).all():
            raise UserError(
                f"The fault map of array {number} holds {codes[~np.isin(codes, (0, LRS, HRS, OPEN))].flat[0]!r}; codes "
                "are 0 (healthy), 1 (at g_max), 2 (at g_min) and 3 (open)."
            )
        found[int(number)] = codes.astype(np.int8)
    return found


def without_faults(device: Device) -> Device:
    """The device as if all its cells were healthy."""
    return device.with_(stuck_at_lrs=0.0, stuck_at_hrs=0.0, clustered_faults=None, line_faults=None)


def stuck(g: np.ndarray, codes: np.ndarray, device: Device) -> np.ndarray:
    """Conductances (rows, cols) [S] with the faults of a map laid over them; open crossings hold no cell."""
    for code in (LRS, HRS, OPEN):
        g = np.where((codes == code) & (g > 0), value_of(code, device), g)
    return g


def specs_of_arrays(placement: Placement) -> dict[int, ArraySpec]:
    """The spec of every array in use."""
    by_label = {layer.label: placement.spec_of(layer) for layer in placement.layers.values()}
    tiles = placement.tiles
    return {int(number): by_label[label] for number, label in zip(tiles["array"], tiles["layer"], strict=True)}
