"""Arrays by themselves: weights programmed onto cells, vectors multiplied by them as the hardware does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossbar.array_circuit import behind_wires
from crossbar.converter_bank import ColumnConverters, driver_errors
from crossbar.converter_choice import converter_of
from crossbar.converters import input_codes, input_cycles
from crossbar.encodings import CellCodes
from crossbar.engine import Backend, Reader
from crossbar.levels import LevelGrid
from crossbar.planes import add_seen, places, standing, strip_of
from crossbar.ranges import RangeTally
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

    spec: the arrays; input_scale: the input that the largest input code stands for, > 0 (default:
    spec.input_full_scale, else 1); adc_full_scale_s: the
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
        input_scale: float | None = None,
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
        if spec.input_range == "percentile" and input_scale is None:
            raise UserError('input_range = "percentile" needs the inputs of a network; give input_scale here.')
        self.spec = spec
        self.input_scale = float(input_scale or spec.input_full_scale or 1.0)
        self.adc_full_scale_s = adc_full_scale_s
        self.conductance_bits = conductance_bits
        self.backend: Backend = backend
        self.weights: np.ndarray = np.zeros((0, 0, 0), dtype=np.float32)
        self._readers: list[list[Reader]] = []
        self._batch: tuple[int, ...] = ()
        self._value_of_one = 0.0
        self._vectors = 0

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
        held = self._fixed_point(strips)
        self._readers = [
            [self._reader(strip, None if full_scale is None else full_scale / unit, seed, held) for strip in own]
            for own in strips
        ]
        self._value_of_one = self.input_scale * unit * held / encoder.full_scale_s * largest
        self._vectors = 0
        return self

    def _reader(self, strip: Strip, full_scale: float | None, seed: int, held: float) -> Reader:
        """A strip with its converters, conductances held as whole multiples of `held` (1: as they are)."""
        converter = None
        if full_scale is not None:
            converter = converter_of(strip, self.spec, np.full(strip.g.shape[1], full_scale), seed)
        if self.conductance_bits is not None:
            strip = strip.rounded(held)
            converter = None if converter is None else replace(converter, step=converter.step / held)
        return Reader(strip, self.spec, converter, self.backend)

    def _fixed_point(self, strips: list[list[Strip]]) -> float:
        """The step of fixed-point conductances where they are asked for, in units of the strips; else 1."""
        if self.conductance_bits is None:
            return 1.0
        return max(float(strip.g.abs().max()) for own in strips for strip in own) / (
            2 ** (self.conductance_bits - 1) - 1
        )

    def mvm(self, x: Any) -> Any:
        """x @ weights as the arrays compute it.

        x: (rows,) or (…, n, rows), numpy or torch, its leading axes those of the weights or broadcast to them; inputs
        of both signs take two phases, or one in two's complement (spec.signed_inputs). Returns (cols,) or (…, n, cols)
        of the inputs' kind (float32), in input × weight.
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
        self._vectors += vectors.shape[-2]
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
        signed = bool((x < 0).any())
        twos = self.spec.twos_complement(signed)
        here = [replace(_on(reader, x.device), signed=twos) for reader in readers]
        top = self.spec.input_code_top(signed)
        values = torch.zeros(x.shape[0], here[0].strip.cols, dtype=torch.float64, device=x.device)
        clipped = samples = 0
        for phase, sign in enumerate((1.0, -1.0) if signed and not twos else (1.0,)):
            codes = input_codes(sign * x, self.input_scale, self.spec.input_bits, signed=twos)
            for part, reader in enumerate(here):
                total = torch.zeros_like(values)
                vectors = Vectors.of_matrix(codes[:, self._lines(part, codes.shape[1])].contiguous())
                clipped += reader.add_to(total, 0, vectors, sign, first=self._vectors, phase=phase)
                samples += reader.samples(x.shape[0])
                values += total * (reader.unit * self._value_of_one / top)
        beyond = 0
        if self.spec.input_bits is not None:
            beyond = int((x.abs() > self.input_scale * (1 + 0.5 / top)).sum())
        return values, clipped, samples, beyond

    def _strips(self, cells: CellCodes, unit: float, seed: int | None, number: int) -> list[Strip]:
        """Cells as wanted (seed None) or as written, behind their wires, as converters see each part read at once."""
        spec, encoder = self.spec, self.spec.encoder
        _, rows, cols = cells.codes.shape
        converted = encoder.plane_weights.size
        found = []
        for part in range(-(-rows // spec.rows_per_read)):
            lines = self._lines(part, rows)
            g, shift = np.zeros((rows, converted, cols)), np.zeros((1, converted, cols))
            place = np.full((3, converted, cols), -1, dtype=np.int64)
            for at, group in enumerate(spec.plane_groups):
                array = number * len(spec.plane_groups) + at
                whole = standing(encoder, cells.codes, group)
                if seed is not None:
                    whole = program(whole, spec.device, seed=seed, array=array)
                seen = behind_wires(whole, spec, lines)
                places(encoder, group, array, lines.start, place)
                if seed is not None and spec.dac_errors is not None:
                    gain, offset = driver_errors(spec.dac_errors, seed, array, rows)
                    add_seen(encoder, group, (offset[lines] @ seen[lines])[None], shift)
                    seen = gain[:, None] * seen
                add_seen(encoder, group, seen, g)
            signs = None if cells.signs is None else cells.signs[part : part + 1] if spec.fragment else cells.signs
            strip = strip_of(g[lines], unit, encoder, [signs], [cols])
            drift = torch.from_numpy(shift.reshape(-1) / unit) if spec.dac_errors and seed is not None else None
            found.append(replace(strip, place=place.reshape(3, -1), drive_offset=drift))
        return found

    def _lines(self, part: int, rows: int) -> slice:
        """Word lines that are driven in one part of a read."""
        most = self.spec.rows_per_read
        return slice(part * most, min((part + 1) * most, rows))

    def _full_scale(self, nominal: list[list[Strip]], calibration: Any) -> float | None:
        """Full scale of the converters, conductance [S] × DAC code."""
        spec = self.spec
        if spec.adc_bits is None:
            return None
        if self.adc_full_scale_s is not None:
            return self.adc_full_scale_s
        if spec.adc_range == "full":
            return spec.largest_sum_s
        if spec.adc_range == "grid" or spec.adc_range_per == "converter":
            raise UserError(
                "adc_range = 'grid' and adc_range_per = 'converter' are for networks (mapping.place); give "
                "adc_full_scale_s here."
            )
        if calibration is None:
            raise UserError(
                f"adc_range = {spec.adc_range!r} needs inputs: program(weights, calibration=x); or give "
                'adc_full_scale_s, or use adc_range = "full".'
            )
        return self._measured(nominal, torch.from_numpy(_numbers(calibration, "calibration", 1).astype(np.float32)))

    def _measured(self, nominal: list[list[Strip]], inputs: Tensor) -> float:
        """The range of the column sums of nominal cells, conductance [S] × DAC code."""
        spec, x = self.spec, inputs.reshape(-1, inputs.shape[-1])
        signed = bool((x < 0).any())
        twos = spec.twos_complement(signed)
        tally = RangeTally(1, spec.adc_percentile)
        for sign in (1.0, -1.0) if signed and not twos else (1.0,):
            codes = input_codes(sign * x, self.input_scale, spec.input_bits, signed=twos)
            for _, cycle in input_cycles(codes, spec.input_bits, spec.dac_bits, signed=twos):
                for own in nominal:
                    for part, strip in enumerate(own):
                        tally.add(strip.column_sums(cycle[:, self._lines(part, cycle.shape[1])]))
        largest = float(tally.result()[0])
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


def _on(reader: Reader, device: torch.device) -> Reader:
    """The reader with its strip and converters on a torch device."""
    if reader.strip.g.device == device:
        return reader
    converter = reader.converter
    moved = converter.to(device) if isinstance(converter, ColumnConverters) else converter
    return replace(reader, strip=reader.strip.to(device), converter=moved)
