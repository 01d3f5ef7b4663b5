"""The strips of a layer on one chip: what its seed makes of every cell and driver."""

from __future__ import annotations

import numpy as np
import torch

from crossbar import ArraySpec
from mapping.cells import programmed, read_variance
from mapping.conditions import Conditions
from mapping.fault_maps import FaultMaps
from mapping.pieces import Piece
from mapping.placement import LayerPlacement
from mapping.strips import Noise, PlacedStrip, build_strips, driver_errors_of


def strips_of_chip(
    placed: LayerPlacement,
    pieces: list[Piece],
    spec: ArraySpec,
    chip: int,
    conditions: Conditions,
    where: torch.device,
    faults: FaultMaps | None = None,
) -> list[PlacedStrip]:
    """The strips of a layer as they stand on the chip of this seed: errors, faults, drift, wires, read noise.

    spec: of the layer's arrays; where: the torch device of the strips; faults: of a real chip, see `programmed`.
    """

    def cells(piece: Piece) -> np.ndarray:
        return programmed(piece, spec, chip, conditions, faults)

    noise = None
    if conditions.read_noise and spec.device.read_noise is not None:
        noise = Noise(lambda piece: read_variance(piece, spec, chip, conditions, faults), chip)
    built = build_strips(placed, pieces, spec, cells, driver_errors_of(spec, chip), noise)
    return [strip.to(where) for strip in built]
