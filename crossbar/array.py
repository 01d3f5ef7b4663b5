"""Arrays by themselves: weights programmed onto cells, vectors multiplied by them as the hardware does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossbar.array_circuit import behind_wires
from crossbar.converters import Converter, input_codes
from crossbar.encodings import CellCodes
from crossbar.engine import Backend, Reader
from crossbar.levels import LevelGrid
from crossbar.planes import add_seen, standing, strip_of
from crossbar.spec import ArraySpec
from crossbar.strip import Strip
from crossbar.vectors import Vectors
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
        self._readers: list[list[Reader]] = []
        self._batch: tuple[int, ...] = ()
        self._value_of_one = 0.0

    @property
    def strips(self) -> list[Strip]:
        """What the converters see, array by array; several strips of an array that is read in parts."""
        return [reader.strip for readers in self._readers for reader in readers]

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

        weights: (…, rows, cols), numpy or torch, at most spec.rows × spec.weight_cols each; they snap to the levels.
        seed: of the chip; array k of the batch has the identity k. scale: the weight that the largest level stands for
        (default: the largest |weight|). calibration: inputs (…, n, rows) that set a "calibrated" converter range, from
        the nominal cells. errors: False writes every cell exactly.
        Raises UserError for weights that are not finite, too large for the array or all zero without a scale, and for a
        missing calibration.
        """
        matrix = _numbers(weights, "weights", 2)
        if matrix.shape[-2] > self.spec.rows or matrix.shape[-1] > self.spec.weight_cols:
            raise UserError(
                f"Weights of {matrix.shape[-2]} × {matrix.shape[-1]} do not fit an array of {self.spec.rows} × "
                f"{self.spec.weight_cols}; cut them into blocks, or place a network with mapping.place."
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
        encoder = self.spec.encoder
        unit = encoder.grid_unit_s or self.spec.device.g_max_s
        cells = [encoder.encode(each, np.ones(each.shape, dtype=bool)) for each in index]
        nominal = [self._strips(each, unit, None, number) for number, each in enumerate(cells)]
        strips = [self._strips(each, unit, seed, number) for number, each in enumerate(cells)] if errors else nominal
        full_scale = self._full_scale(nominal, calibration)
        self.converter = None
        if full_scale is not None:
            assert self.spec.adc_bits is not None
            self.converter = Converter.of_range(
                full_scale / unit, self.spec.adc_bits, signed=self.spec.signed_converter
            )
        strips, unit = self._held(strips, unit)
        self._readers = [[Reader(strip, self.spec, self.converter, self.backend) for strip in own] for own in strips]
        self._value_of_one = self.input_scale / self._readers[0][0].code_top * unit / encoder.full_scale_s * largest
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

    def _one(self, x: Tensor, readers: list[Reader]) -> tuple[Tensor, int, int, int]:
        """Values (n, cols) float64 of one array, its clipped samples, its samples, and the inputs beyond the range."""
        here = [r if r.strip.g.device == x.device else replace(r, strip=r.strip.to(x.device)) for r in readers]
        values = torch.zeros(x.shape[0], here[0].strip.cols, dtype=torch.float64, device=x.device)
        clipped = samples = 0
        for sign in (1.0, -1.0) if bool((x < 0).any()) else (1.0,):
            codes = input_codes(sign * x, self.input_scale, self.spec.input_bits)
            for part, reader in enumerate(here):
                total = torch.zeros_like(values)
                vectors = Vectors.of_matrix(codes[:, self._lines(part, codes.shape[1])].contiguous())
                clipped += reader.add_to(total, 0, vectors, sign)
                samples += reader.samples(x.shape[0])
                values += total * (reader.unit * self._value_of_one)
        beyond = 0
        if self.spec.input_bits is not None:
            beyond = int((x.abs() > self.input_scale * (1 + 0.5 / here[0].code_top)).sum())
        return values, clipped, samples, beyond

    def _strips(self, cells: CellCodes, unit: float, seed: int | None, number: int) -> list[Strip]:
        """Cells as wanted (seed None) or as written, behind their wires, as converters see each part read at once."""
        spec, encoder = self.spec, self.spec.encoder
        _, rows, cols = cells.codes.shape
        shown = [np.zeros((rows, encoder.plane_weights.size, cols)) for _ in range(-(-rows // spec.rows_per_read))]
        for place, group in enumerate(spec.plane_groups):
            whole = standing(encoder, cells.codes, group)
            if seed is not None:
                whole = program(whole, spec.device, seed=seed, array=number * len(spec.plane_groups) + place)
            for part, g in enumerate(shown):
                lines = self._lines(part, rows)
                add_seen(encoder, group, behind_wires(whole, spec, lines), g)
        found = []
        for part, g in enumerate(shown):
            signs = None if cells.signs is None else cells.signs[part : part + 1] if spec.fragment else cells.signs
            found.append(strip_of(g[self._lines(part, rows)], unit, encoder, [signs], [cols]))
        return found

    def _lines(self, part: int, rows: int) -> slice:
        """Word lines that are driven in one part of a read."""
        most = self.spec.rows_per_read
        return slice(part * most, min((part + 1) * most, rows))

    def _held(self, strips: list[list[Strip]], unit: float) -> tuple[list[list[Strip]], float]:
        """The strips on the fixed-point grid where one is asked for, and the unit [S] of their conductances."""
        if self.conductance_bits is None:
            return strips, unit
        largest = max(float(strip.g.abs().max()) for own in strips for strip in own)
        step = largest / (2 ** (self.conductance_bits - 1) - 1)
        if self.converter is not None:
            self.converter = replace(self.converter, step=self.converter.step / step)
        return [[strip.rounded(step) for strip in own] for own in strips], unit * step

    def _full_scale(self, nominal: list[list[Strip]], calibration: Any) -> float | None:
        """Full scale of the converters, conductance [S] × DAC code."""
        spec = self.spec
        if spec.adc_bits is None:
            return None
        if self.adc_full_scale_s is not None:
            return self.adc_full_scale_s
        if spec.adc_range == "full":
            return spec.largest_sum_s
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
        largest = max(
            strip.largest_sum(phase[:, self._lines(part, phase.shape[1])], spec)
            for own in nominal
            for part, strip in enumerate(own)
            for phase in codes
        )
        if largest <= 0:
            raise UserError("The calibration inputs drive no column at all; use inputs like those to come.")
        return largest * nominal[0][0].unit_s


def _numbers(values: Any, name: str, axes: int) -> np.ndarray:
    """Finite numbers as a numpy array of at least so many axes, else UserError."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim < axes or array.dtype.kind not in "fiub":
        raise UserError(f"{name} must be numbers with at least {axes} axes, not {array.dtype} of shape {array.shape}.")
    if not np.isfinite(array).all():
        raise UserError(f"{name} holds values that are not finite.")
    return array.astype(np.float64)
