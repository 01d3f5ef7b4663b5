"""Arrays by themselves: weights programmed onto cells, vectors multiplied by them as the hardware does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossbar.converters import Converter, input_codes
from crossbar.engine import Backend, Reader
from crossbar.levels import LevelGrid
from crossbar.spec import ArraySpec
from crossbar.strip import Strip
from crossbar.vectors import Vectors
from crossbar.wires import effective_conductance
from hwmodels import program
from hwmodels.errors import UserError


@dataclass(frozen=True)
class ArrayRead:
    """What arrays give for input vectors.

    values: (…, n, cols), of the inputs' kind, in units of input × weight; clipped, samples: conversions beyond the
    range, and in all; clipped_inputs: inputs beyond the input range.
    """

    values: Any
    clipped: int
    samples: int
    clipped_inputs: int


class Array:
    """One array per weight matrix (a pair and its slices counted as one), read through its converters.

        array = Array(ArraySpec(rows=128, cols=64, device="hfox", adc_range="full")).program(weights, seed=1)
        y = array.mvm(x)                                  # about x @ weights

    spec: the arrays; input_scale: the input that the largest input code stands for, > 0; adc_full_scale_s: the
    converters' full scale, column conductance [S] × DAC code, or None: what `spec.adc_range` says, from the inputs
    given to `program` where that is "calibrated"; conductance_bits: hold conductances as signed fixed-point numbers of
    so many bits, on the grid largest conductance / (2^(bits−1) − 1) (None: as they are); backend: "numba" (CPU),
    "torch" (the inputs' device) or "auto" (`crossbar.engine` says how far they agree).
    Raises UserError for an input scale or full scale that is not positive and finite.
    """

    def __init__(
        self,
        spec: ArraySpec,
        *,
        input_scale: float = 1.0,
        adc_full_scale_s: float | None = None,
        conductance_bits: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        """Describe the arrays; `program` writes them."""
        for name, value in (("input_scale", input_scale), ("adc_full_scale_s", adc_full_scale_s)):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise UserError(f"{name} must be positive and finite, not {value!r}.")
        if conductance_bits is not None and not 2 <= conductance_bits <= 16:
            raise UserError(f"conductance_bits must be from 2 to 16, not {conductance_bits!r}.")
        self.spec = spec
        self.input_scale = float(input_scale)
        self.adc_full_scale_s = adc_full_scale_s
        self.conductance_bits = conductance_bits
        self.backend: Backend = backend
        self.converter: Converter | None = None
        self.weights: np.ndarray = np.zeros((0, 0, 0), dtype=np.float32)
        self._readers: list[Reader] = []
        self._batch: tuple[int, ...] = ()
        self._value_of_one = 0.0

    @property
    def strips(self) -> list[Strip]:
        """What the converters of each array see, in the order of the batch."""
        return [reader.strip for reader in self._readers]

    def program(
        self,
        weights: Any,
        *,
        seed: int = 0,
        scale: float | None = None,
        calibration: Any = None,
        errors: bool = True,
    ) -> Array:
        """Write weights to cells, with the device's errors and faults; returns the array itself.

        weights: (…, rows, cols), numpy or torch, at most spec.rows × spec.cols each; they snap to the array's levels.
        seed: of the chip; array k of the batch has the identity k. scale: the weight that the largest level stands for
        (default: the largest |weight|). calibration: inputs (…, n, rows) that set a "calibrated" converter range, from
        the nominal cells. errors: False writes every cell exactly.
        Raises UserError for weights that are not finite, too large for the array or all zero without a scale, and for a
        missing calibration.
        """
        matrix = _numbers(weights, "weights", 2)
        if matrix.shape[-2] > self.spec.rows or matrix.shape[-1] > self.spec.cols:
            raise UserError(
                f"Weights of {matrix.shape[-2]} × {matrix.shape[-1]} do not fit an array of {self.spec.rows} × "
                f"{self.spec.cols}; cut them into blocks, or place a network with mapping.place."
            )
        largest = float(np.abs(matrix).max()) if scale is None else float(scale)
        if not (np.isfinite(largest) and largest > 0):
            raise UserError(
                f"The weight that the largest level stands for must be positive and finite, not {largest!r}."
            )
        grid = LevelGrid(self.spec.weight_levels(), np.array(largest))
        self._batch = matrix.shape[:-2]
        index = grid.index(matrix.reshape(-1, *matrix.shape[-2:]))
        self.weights = grid.weights(index).reshape(matrix.shape)
        targets = [self._targets(each) for each in index]
        encoding = self.spec.encoding
        unit = encoding.grid_unit_s or self.spec.device.g_max_s
        nominal = [self._strip(each, unit, None, number) for number, each in enumerate(targets)]
        strips = [self._strip(each, unit, seed, number) for number, each in enumerate(targets)] if errors else nominal
        full_scale = self._full_scale(nominal, calibration)
        self.converter = None
        if full_scale is not None:
            assert self.spec.adc_bits is not None
            self.converter = Converter.of_range(
                full_scale / unit, self.spec.adc_bits, signed=self.spec.signed_converter
            )
        strips, unit = self._held(strips, unit)
        self._readers = [Reader(strip, self.spec, self.converter, self.backend) for strip in strips]
        self._value_of_one = self.input_scale / self._readers[0].code_top * unit / encoding.full_scale_s * largest
        return self

    def mvm(self, x: Any) -> Any:
        """x @ weights as the arrays compute it.

        x: (rows,) or (…, n, rows), numpy or torch, its leading axes those of the weights or broadcast to them; inputs
        of both signs take two phases. Returns (cols,) or (…, n, cols) of the inputs' kind (float32), in input × weight.
        """
        return self.read(x).values

    def read(self, x: Any) -> ArrayRead:
        """As `mvm`, with what was clipped. Raises UserError for unprogrammed arrays, shapes that do not fit and NaN."""
        if not self._readers:
            raise UserError("The array holds no weights yet; call program(weights) first.")
        inputs = x if isinstance(x, Tensor) else torch.from_numpy(_numbers(x, "x", 1).astype(np.float32))
        if bool(inputs.isnan().any()):
            raise UserError("x holds values that are not numbers (NaN), which no voltage stands for.")
        rows, cols = self.weights.shape[-2], self.weights.shape[-1]
        if inputs.shape[-1:] != (rows,):
            raise UserError(f"x has the shape {tuple(inputs.shape)}, but its last axis must be the {rows} word lines.")
        vectors = inputs.float().reshape(1, rows) if inputs.dim() == 1 else inputs.float()
        try:
            lead = np.broadcast_shapes(vectors.shape[:-2], self._batch)
        except ValueError:
            raise UserError(
                f"x of shape {tuple(inputs.shape)} does not go with arrays of shape {self._batch}; their leading axes "
                "must be equal or 1."
            ) from None
        wide = vectors.expand(*lead, *vectors.shape[-2:]).reshape(-1, *vectors.shape[-2:])
        number = np.broadcast_to(np.arange(len(self._readers)).reshape(self._batch), lead).ravel()
        found = [self._one(each, self._readers[which]) for each, which in zip(wide, number, strict=True)]
        values = torch.stack([sums for sums, *_ in found]).float().reshape(*lead, vectors.shape[-2], cols)
        values = values.squeeze(-2) if inputs.dim() == 1 else values
        return ArrayRead(
            values=values if isinstance(x, Tensor) else values.numpy(),
            clipped=sum(clipped for _, clipped, _, _ in found),
            samples=sum(samples for *_, samples, _ in found),
            clipped_inputs=sum(beyond for *_, beyond in found),
        )

    # One array

    def _one(self, x: Tensor, reader: Reader) -> tuple[Tensor, int, int, int]:
        """Sums (n, cols) float64 of one array, its clipped samples, its samples, and the inputs beyond the range."""
        moved = reader if reader.strip.g.device == x.device else replace(reader, strip=reader.strip.to(x.device))
        total = torch.zeros(x.shape[0], reader.strip.cols, dtype=torch.float64, device=x.device)
        clipped = samples = 0
        for sign in (1.0, -1.0) if bool((x < 0).any()) else (1.0,):
            codes = input_codes(sign * x, self.input_scale, self.spec.input_bits)
            clipped += moved.add_to(total, 0, Vectors.of_matrix(codes), sign)
            samples += moved.samples(x.shape[0])
        beyond = 0
        if self.spec.input_bits is not None:
            beyond = int((x.abs() > self.input_scale * (1 + 0.5 / reader.code_top)).sum())
        return total * (moved.unit * self._value_of_one), clipped, samples, beyond

    def _targets(self, index: np.ndarray) -> np.ndarray:
        """Conductances (2, slices, rows, cols) [S] that one matrix of level indices asks for."""
        encoding = self.spec.encoding
        return encoding.conductances(encoding.encode(index, np.ones(index.shape, dtype=bool)))

    def _strip(self, target: np.ndarray, unit: float, seed: int | None, number: int) -> Strip:
        """Cells as wanted (seed None) or as written, behind their wires, as the converters see them."""
        spec, (halves, slices, rows, cols) = self.spec, target.shape
        flat = target.reshape(halves * slices, rows, cols)
        if seed is not None:
            flat = np.stack(
                [
                    program(each, spec.device, seed=seed, array=number * halves * slices + part)
                    for part, each in enumerate(flat)
                ]
            )
        if spec.has_wires:
            sink = spec.r_sink_ohm + (spec.rows - rows) * spec.r_bit_ohm
            flat = effective_conductance(flat, spec.r_word_ohm, spec.r_bit_ohm, r_source=spec.r_source_ohm, r_sink=sink)
        g = (flat / unit).reshape(halves, slices, rows, cols)
        weights = spec.encoding.slice_weights
        if spec.pair_subtraction == "analog":
            planes = g[0] - g[1]
        else:
            planes, weights = g.reshape(-1, rows, cols), np.concatenate([weights, -weights])
        side_by_side = np.ascontiguousarray(planes.transpose(1, 0, 2).reshape(rows, -1), dtype=np.float32)
        return Strip(torch.from_numpy(side_by_side), unit, cols, weights, signed=spec.signed_converter)

    def _held(self, strips: list[Strip], unit: float) -> tuple[list[Strip], float]:
        """The strips on the fixed-point grid where one is asked for, and the unit [S] of their conductances."""
        if self.conductance_bits is None:
            return strips, unit
        step = max(float(strip.g.abs().max()) for strip in strips) / (2 ** (self.conductance_bits - 1) - 1)
        if self.converter is not None:
            self.converter = replace(self.converter, step=self.converter.step / step)
        return [strip.rounded(step) for strip in strips], unit * step

    def _full_scale(self, nominal: list[Strip], calibration: Any) -> float | None:
        """Full scale of the converters, conductance [S] × DAC code."""
        spec = self.spec
        if spec.adc_bits is None:
            return None
        if self.adc_full_scale_s is not None:
            return self.adc_full_scale_s
        if spec.adc_range == "full":
            return spec.rows * spec.device.g_max_s * Reader(nominal[0], spec, None).cycle_top
        if spec.adc_range != "calibrated":
            raise UserError(
                f"adc_range = {spec.adc_range!r} needs adc_full_scale_s here: Array(spec, adc_full_scale_s=…)."
            )
        if calibration is None:
            raise UserError(
                'adc_range = "calibrated" needs inputs: program(weights, calibration=x), or give adc_full_scale_s, or '
                'use adc_range = "full".'
            )
        inputs = torch.from_numpy(_numbers(calibration, "calibration", 1).astype(np.float32))
        inputs = inputs.reshape(-1, inputs.shape[-1])
        codes = [input_codes(sign * inputs, self.input_scale, spec.input_bits) for sign in (1.0, -1.0)]
        largest = max(strip.largest_sum(part, spec) for strip in nominal for part in codes)
        if largest <= 0:
            raise UserError("The calibration inputs drive no column at all; use inputs like those to come.")
        return largest * nominal[0].unit_s


def _numbers(values: Any, name: str, axes: int) -> np.ndarray:
    """Finite numbers as a numpy array of at least so many axes, else UserError."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim < axes or array.dtype.kind not in "fiub":
        raise UserError(f"{name} must be numbers with at least {axes} axes, not {array.dtype} of shape {array.shape}.")
    if not np.isfinite(array).all():
        raise UserError(f"{name} holds values that are not finite.")
    return array.astype(np.float64)
