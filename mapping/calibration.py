"""Ranges from a few real inputs: what the largest input code stands for, and the converters' full scales.

Calibration runs the quantised network digitally and reads every layer's nominal arrays (no device or converter error)
with the inputs that reach it, so the ranges belong to this array size, these levels and this mask; placing again with
another array calibrates again. Three passes over the inputs: the first finds the input ranges; the second, with the
input codes known, the ranges of the column sums and how hard each word line is driven; the third, with the converters
known, what codes they see.

Where a layer or a converter has seen nothing but zeros, there is nothing to measure: its inputs get a range of 1, a
converter takes the range of its layer, and a layer the range "full".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossbar import ArraySpec
from crossbar.converters import Converter, input_cycles
from crossbar.exactness import whole_sums
from crossbar.histogram import CodeHistogram
from crossbar.ranges import RangeTally
from hwmodels.errors import UserError
from mapping.cells import nominal
from mapping.converters import finest_step, full_scales, grouped, lossless_bits
from mapping.drive import layer_codes
from mapping.inputs import Arguments, Inputs, first_input, quiet_eval
from mapping.layer import CHUNK_ELEMENTS
from mapping.pieces import Piece
from mapping.placement import Calibration, LayerPlacement, Placement
from mapping.strips import PlacedStrip, build_strips, unit_conductance

CALIBRATION_VECTORS = 20_000
"""Input vectors per layer and call that a range is read from; more are thinned out evenly."""

HISTOGRAM_VECTORS = 2_000
"""Input vectors per layer and call that the histogram of codes is read from."""

Look = Callable[[LayerPlacement, Tensor], None]


def calibrate(placement: Placement, example_input: Inputs) -> Placement:
    """The placement with every layer's calibration measured on the example inputs.

    Raises UserError for a percentile that makes a range zero wide.
    """
    model = placement.reference()
    tallies = {
        name: RangeTally(1, placement.spec_of(layer).input_percentile) for name, layer in placement.layers.items()
    }
    signed: dict[str, bool] = {}
    _run(model, placement, example_input, _range_finder(tallies, signed))
    placement = _with(
        placement,
        lambda layer: _input_range(layer, placement.spec_of(layer), tallies[layer.name], signed[layer.name]),
    )
    strips = _nominal(placement)
    measures = {
        name: _Measure(layer, placement.spec_of(layer), strips[name]) for name, layer in placement.layers.items()
    }
    _run(model, placement, example_input, lambda layer, x: measures[layer.name].add(x))
    placement = _with(placement, lambda layer: measures[layer.name].result())
    if all(layer.calibration.histogram is None for layer in placement.layers.values()):
        return placement
    look = {name: _codes_of(layer, placement.spec_of(layer), strips[name]) for name, layer in placement.layers.items()}
    _run(model, placement, example_input, lambda layer, x: look[layer.name](x))
    return placement


def input_ranges(placement: Placement, example_input: Inputs) -> Placement:
    """The placement with input ranges and signs as the unquantised network sees them, and nothing else measured.

    Converters span the full range of their sums; drive, and with it the energy of a read, is not known (NaN).
    """
    assert placement.network is not None
    tallies = {
        name: RangeTally(1, placement.spec_of(layer).input_percentile) for name, layer in placement.layers.items()
    }
    signed: dict[str, bool] = {}
    _run(placement.network, placement, example_input, _range_finder(tallies, signed))

    def known(layer: LayerPlacement) -> Calibration:
        spec = placement.spec_of(layer)
        found = _input_range(layer, spec, tallies[layer.name], signed[layer.name])
        full = 0.0 if spec.adc_bits is None else spec.largest_sum_s
        return replace(found, adc_full_scale_s=full, drive=np.full_like(found.drive, np.nan))

    return _with(placement, known)


def _range_finder(tallies: dict[str, RangeTally], signed: dict[str, bool]) -> Look:
    """What reads the range and the signs of the inputs of every layer."""

    def find_range(layer: LayerPlacement, x: Tensor) -> None:
        tallies[layer.name].add(x.reshape(-1, 1))
        signed[layer.name] = signed.get(layer.name, False) or bool((x < 0).any())

    return find_range


def _with(placement: Placement, calibration: Callable[[LayerPlacement], Calibration]) -> Placement:
    layers = {name: replace(layer, calibration=calibration(layer)) for name, layer in placement.layers.items()}
    return replace(placement, layers=layers)


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
            Arguments.of(example_input).call(model)
    finally:
        for handle in handles:
            handle.remove()


def _input_range(layer: LayerPlacement, spec: ArraySpec, tally: RangeTally, signed: bool) -> Calibration:
    scale = float(tally.result()[0]) if spec.input_full_scale is None else spec.input_full_scale
    if scale == 0 and tally.largest[0] > 0:
        raise UserError(
            f"Layer {layer.name!r}: the {spec.input_percentile:g}th percentile of its inputs is 0, a range of width "
            f"zero (the largest is {tally.largest[0]:.3g}); raise input_percentile."
        )
    return Calibration(
        # A layer that only ever sees zeros gets a range of 1: any positive range reads its zeros as zeros.
        input_scale=scale or 1.0,
        signed=signed,
        adc_full_scale_s=0.0,
        drive=np.zeros((layer.shape.groups, layer.shape.rows)),
    )


def _nominal(placement: Placement) -> dict[str, list[PlacedStrip]]:
    def wanted(piece: Piece) -> np.ndarray:
        return nominal(piece, placement.spec_of(piece.layer))

    built = {
        name: build_strips(placement.layers[name], list(pieces), placement.spec_of(placement.layers[name]), wanted)
        for name, pieces in groupby(placement.pieces(), key=lambda piece: piece.layer.name)
    }
    return {name: built.get(name, []) for name in placement.layers}


def _sums(at: PlacedStrip, vectors: Tensor, spec: ArraySpec, signed: bool) -> Iterator[Tensor]:
    """The column sums of a strip, a piece of the vectors and a cycle at a time: (n, columns)."""
    step = max(CHUNK_ELEMENTS // at.strip.g.shape[1], 1)
    for start in range(0, vectors.shape[0], step):
        part = vectors[start : start + step, at.group, at.rows]
        for _, cycle in input_cycles(part, spec.input_bits, spec.dac_bits, signed=signed):
            yield at.strip.column_sums(cycle)


class _Measure:
    """Ranges of column sums and word-line drive of one layer, gathered over its calls."""

    def __init__(self, layer: LayerPlacement, spec: ArraySpec, strips: list[PlacedStrip]) -> None:
        self.layer, self.spec, self.strips = layer, spec, strips
        self.converters, self.groups = grouped([at.strip for at in strips], spec)
        self.tally = RangeTally(max(len(self.converters), 1), spec.adc_percentile)
        self.signed = spec.twos_complement(layer.calibration.signed)
        self.drive = torch.zeros(layer.calibration.drive.shape, dtype=torch.float64)
        self.vectors = 0

    def add(self, x: Tensor) -> None:
        """Take in one call's input."""
        for _, codes in layer_codes(x, self.layer, self.spec):
            self._add_phase(_thinned(self.layer.geometry.vectors(codes), CALIBRATION_VECTORS))
        self.vectors += min(self.layer.geometry.vector_count(x), CALIBRATION_VECTORS)

    def _add_phase(self, vectors: Tensor) -> None:
        spec = self.spec
        top = 1 if spec.input_bits is None else 2**spec.dac_bits - 1
        for _, cycle in input_cycles(vectors, spec.input_bits, spec.dac_bits, signed=self.signed):
            self.drive += (cycle / top).square().sum(dim=0, dtype=torch.float64)
        if spec.adc_bits is None or spec.adc_range == "full":
            return
        for at, group in zip(self.strips, self.groups, strict=True):
            for sums in _sums(at, vectors, spec, self.signed):
                self.tally.add(sums, group)

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
        """The layer's calibration, without its histogram's counts."""
        spec = self.spec
        ranges = self._ranges()
        calibration = replace(
            self.layer.calibration,
            adc_full_scale_s=float(ranges.max(initial=0.0)) * unit_conductance(spec),
            drive=(self.drive / max(self.vectors, 1)).numpy(),
            converters=self.converters if ranges.size else self.converters[:0],
            converter_full_scale_s=ranges * unit_conductance(spec) if len(self.converters) else np.zeros(0),
            lossless_adc_bits=lossless_bits([at.strip for at in self.strips], spec),
        )
        if not ranges.size:
            return calibration
        return replace(calibration, histogram=self._empty_histogram(ranges))

    def _ranges(self) -> np.ndarray:
        """(ranges,) full scales in units of `unit_conductance` × DAC code, none without converters."""
        spec = self.spec
        if spec.adc_bits is None or not self.strips:
            return np.zeros(0)
        if spec.adc_range == "grid":
            one = Converter.of_range(1.0, spec.adc_bits, signed=spec.signed_converter)
            return np.full(self.tally.largest.size, max(one.top, 1) * self._grid_unit())
        if spec.adc_range == "full" or not self.tally.largest.any():
            return np.full(self.tally.largest.size, spec.largest_sum_s / unit_conductance(spec))
        ranges = self.tally.result()
        empty = (ranges == 0) & (self.tally.largest > 0)
        if empty.any():
            whose = f"one of its {ranges.size} converters" if len(self.converters) else "its converters"
            raise UserError(
                f"Layer {self.layer.name!r}: the {spec.adc_percentile:g}th percentile of the column sums of {whose} "
                f"is 0, a range of width zero (the largest is {self.tally.largest[empty].max():.3g} units); raise "
                "adc_percentile."
            )
        return np.where(ranges > 0, ranges, ranges.max())

    def _empty_histogram(self, ranges: np.ndarray) -> CodeHistogram:
        spec = self.spec
        assert spec.adc_bits is not None
        one = Converter.of_range(1.0, spec.adc_bits, signed=spec.signed_converter)
        steps = np.maximum(ranges * one.step, finest_step(spec))
        most = float((self.tally.largest / steps).max())
        return CodeHistogram.spanning(-most if spec.signed_converter else 0.0, most, one.low, one.top)


def _codes_of(layer: LayerPlacement, spec: ArraySpec, strips: list[PlacedStrip]) -> Callable[[Tensor], None]:
    """What counts the codes of one layer's column sums into the histogram of its calibration."""
    calibration = layer.calibration
    histogram = calibration.histogram
    if histogram is None:
        return lambda x: None
    assert spec.adc_bits is not None
    one = Converter.of_range(1.0, spec.adc_bits, signed=spec.signed_converter)
    steps = [np.maximum(full_scales(at.strip, calibration, spec) * one.step, finest_step(spec)) for at in strips]
    real = [torch.from_numpy(at.strip.place[0] >= 0) for at in strips if at.strip.place is not None]
    signed = spec.twos_complement(calibration.signed)

    def look(x: Tensor) -> None:
        for _, codes in layer_codes(x, layer, spec):
            vectors = _thinned(layer.geometry.vectors(codes), HISTOGRAM_VECTORS)
            for at, step, stands in zip(strips, steps, real, strict=True):
                for sums in _sums(at, vectors, spec, signed):
                    histogram.add((sums.double() / torch.from_numpy(step))[:, stands])

    return look


def _thinned(vectors: Tensor, most: int) -> Tensor:
    """At most so many of the vectors, evenly spaced."""
    if vectors.shape[0] <= most:
        return vectors
    return vectors[torch.linspace(0, vectors.shape[0] - 1, most).long()]
