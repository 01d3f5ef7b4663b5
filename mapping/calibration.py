"""Ranges from a few real inputs: what the largest input code stands for, and the converters' full scale.

Calibration runs the quantised network digitally and reads every layer's nominal arrays (no device error) with the
inputs that reach it, so the ranges belong to this array size, these levels and this mask; placing again with
another array calibrates again. Two passes over the inputs: the first finds the input ranges, the second, with the
input codes known, the largest column sum and how hard each word line is driven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossbar import ArraySpec
from crossbar.converters import input_cycles
from crossbar.exactness import whole_sums
from hwmodels.errors import UserError
from mapping.cells import nominal
from mapping.layer import CHUNK_ELEMENTS, layer_codes
from mapping.pieces import Piece
from mapping.placement import Calibration, LayerPlacement, Placement
from mapping.strips import PlacedStrip, build_strips, unit_conductance
from mapping.trace import Inputs, as_tuple, first_input, quiet_eval

CALIBRATION_VECTORS = 20_000
"""Input vectors per layer and call that a range is read from; more are thinned out evenly."""

Look = Callable[[LayerPlacement, Tensor], None]


def calibrate(placement: Placement, example_input: Inputs) -> Placement:
    """The placement with every layer's calibration measured on the example inputs."""
    model = placement.reference()
    ranges: dict[str, tuple[float, bool]] = {}

    def find_range(layer: LayerPlacement, x: Tensor) -> None:
        largest, signed = ranges.get(layer.name, (0.0, False))
        ranges[layer.name] = (max(largest, float(x.abs().max())), signed or bool((x < 0).any()))

    _run(model, placement, example_input, find_range)
    layers = {
        layer.name: replace(layer, calibration=_input_range(layer, *ranges[layer.name]))
        for layer in placement.layers.values()
    }
    placement = replace(placement, layers=layers)
    measures = {
        layer.name: _Measure(layer, placement.array, nominal_strips) for layer, nominal_strips in _nominal(placement)
    }
    _run(model, placement, example_input, lambda layer, x: measures[layer.name].add(x))
    return replace(
        placement,
        layers={name: replace(layer, calibration=measures[name].result()) for name, layer in layers.items()},
    )


def _run(model: nn.Module, placement: Placement, example_input: Inputs, look: Look) -> None:
    """Run the model once and show `look` every input of every placed layer."""

    def hook(layer: LayerPlacement) -> Any:
        return lambda module, args, kwargs: look(layer, first_input(args, kwargs).float())

    handles = [
        model.get_submodule(layer.name).register_forward_pre_hook(hook(layer), with_kwargs=True)
        for layer in placement.layers.values()
    ]
    try:
        with quiet_eval(model):
            model(*as_tuple(example_input))
    finally:
        for handle in handles:
            handle.remove()


def _input_range(layer: LayerPlacement, largest: float, signed: bool) -> Calibration:
    # A layer that only ever sees zeros gets a range of 1: any positive range reads its zeros as zeros.
    return Calibration(
        input_scale=largest or 1.0,
        signed=signed,
        adc_full_scale_s=0.0,
        drive=np.zeros((layer.shape.groups, layer.shape.rows)),
    )


def _nominal(placement: Placement) -> list[tuple[LayerPlacement, list[PlacedStrip]]]:
    def wanted(piece: Piece) -> np.ndarray:
        return nominal(piece, placement.array)

    built = {
        name: build_strips(placement.layers[name], list(pieces), placement.array, wanted)
        for name, pieces in groupby(placement.pieces(), key=lambda piece: piece.layer.name)
    }
    return [(layer, built.get(layer.name, [])) for layer in placement.layers.values()]


@dataclass
class _Measure:
    """Largest column sum and word-line drive of one layer, gathered over its calls."""

    layer: LayerPlacement
    spec: ArraySpec
    strips: list[PlacedStrip]
    largest: float = 0.0
    drive: Tensor | None = None
    vectors: int = 0

    def add(self, x: Tensor) -> None:
        """Take in one call's input."""
        for _, codes in layer_codes(x, self.layer, self.spec):
            self._add_phase(_thinned(self.layer.geometry.vectors(codes)))
        self.vectors += min(self.layer.geometry.vector_count(x), CALIBRATION_VECTORS)

    def _add_phase(self, vectors: Tensor) -> None:
        spec = self.spec
        top = 1 if spec.input_bits is None else 2**spec.dac_bits - 1
        for _, cycle in input_cycles(vectors, spec.input_bits, spec.dac_bits):
            drive = (cycle / top).square().sum(dim=0, dtype=torch.float64)
            self.drive = drive if self.drive is None else self.drive + drive
        if spec.adc_bits is None or spec.adc_range != "calibrated":
            return
        for at in self.strips:
            step = max(CHUNK_ELEMENTS // at.strip.g.shape[1], 1)
            for start in range(0, vectors.shape[0], step):
                part = vectors[start : start + step, at.group, at.rows]
                self.largest = max(self.largest, at.strip.largest_sum(part, spec))

    def _grid_unit(self) -> float:
        """The largest number of which every nominal conductance of the layer is a whole multiple; 1 without cells."""
        found = [whole_sums(at.strip.g) for at in self.strips]
        if any(sums is None for sums in found):
            raise UserError(
                f'Layer {self.layer.name!r}: adc_range = "grid" needs cells whose levels lie on a common grid and '
                "ideal wires (its nominal conductances are no whole multiples of one unit); use calibrated or full."
            )
        units = [int(sums.unit) for sums in found if sums is not None and sums.reach]
        return float(np.gcd.reduce(units)) if units else 1.0

    def result(self) -> Calibration:
        """The layer's calibration."""
        spec = self.spec
        full_scale = self.largest * unit_conductance(spec)
        if spec.adc_range == "full":
            full_scale = spec.largest_sum_s
        if spec.adc_range == "grid" and spec.adc_bits is not None:
            top = 2 ** (spec.adc_bits - 1) - 1 if spec.signed_converter else 2**spec.adc_bits - 1
            full_scale = max(top, 1) * self._grid_unit() * unit_conductance(spec)
        if spec.adc_bits is None:
            full_scale = 0.0
        assert self.drive is not None
        drive = (self.drive / max(self.vectors, 1)).numpy()
        return replace(self.layer.calibration, adc_full_scale_s=full_scale, drive=drive)


def _thinned(vectors: Tensor) -> Tensor:
    """At most CALIBRATION_VECTORS of the vectors, evenly spaced."""
    if vectors.shape[0] <= CALIBRATION_VECTORS:
        return vectors
    return vectors[torch.linspace(0, vectors.shape[0] - 1, CALIBRATION_VECTORS).long()]
