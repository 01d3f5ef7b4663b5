"""One layer computed on its arrays: input codes in, strips read, outputs put back in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from crossbar import ArraySpec, from_matrix
from crossbar.converter_bank import ColumnConverters
from crossbar.converters import Converter
from crossbar.engine import Backend, Reader
from crossbar.exactness import FLOAT32_WHOLE, exact_in_float32
from crossbar.vectors import Vectors
from hwmodels.errors import UserError
from mapping.converters import strip_converter
from mapping.drive import drive
from mapping.placement import LayerPlacement
from mapping.strips import PlacedStrip, unit_conductance

CHUNK_ELEMENTS = 16_000_000
"""Largest intermediate of one product, in elements (64 MB in float32): bounds memory, not results."""


@dataclass
class Clipping:
    """Converter and input samples beyond their range, counted over everything a layer has computed."""

    adc_clipped: int = 0
    adc_samples: int = 0
    input_clipped: int = 0
    input_samples: int = 0

    @property
    def adc(self) -> float:
        """Share of converter samples that were clipped."""
        return self.adc_clipped / self.adc_samples if self.adc_samples else 0.0

    @property
    def input(self) -> float:
        """Share of inputs beyond the range of the input codes."""
        return self.input_clipped / self.input_samples if self.input_samples else 0.0


@dataclass(eq=False)
class _State:
    """Strips with their readers; what follows from them is worked out at the first call. vectors: read so far."""

    placed: LayerPlacement | None = None
    strips: list[PlacedStrip] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    unit_s: float = 1.0
    vectors: int = 0

    @property
    def converters(self) -> list[Converter | ColumnConverters | None]:
        """What reads each strip."""
        return [reader.converter for reader in self.readers]

    @cached_property
    def whole_weight(self) -> tuple[Tensor, float] | None:
        """The weight tensor that one product reads all strips with, in units of the returned number of `unit_s`.

        None where converters stand in between, or where whole sums might not stay exact in float32.
        """
        placed = self.placed
        if placed is None or any(reader.way != "whole" for reader in self.readers):
            return None
        shape = placed.shape
        matrix = torch.zeros(shape.groups, shape.rows, shape.cols, dtype=torch.float64)
        for at, reader in zip(self.strips, self.readers, strict=True):
            matrix[at.group, at.rows.cpu()[:, None], at.cols.cpu()] += reader.whole.cpu().double()
        unit = 1.0
        if self.readers and self.readers[0].spec.input_bits is not None and bool((matrix == matrix.round()).all()):
            unit = float(np.gcd.reduce(np.unique(matrix.abs().numpy()).astype(np.int64))) or 1.0
            matrix /= unit
            if not all(exact_in_float32(group, self.readers[0].code_top) for group in matrix):
                return None
        where = self.strips[0].rows.device if self.strips else "cpu"
        weight = from_matrix(matrix.float(), placed.geometry.weight_shape)
        return weight.contiguous().to(where), unit

    @cached_property
    def total_unit(self) -> float:
        """What 1 in the total means: the converters' step, or 1 where every strip is read exactly."""
        return next((reader.unit for reader in self.readers if reader.unit != 1.0), 1.0)

    @cached_property
    def total_type(self) -> torch.dtype:
        """float32 where the codes of all strips and both phases add up to less than 2²⁴, else float64."""
        reach = 2 * sum(reader.reach for reader in self.readers)
        same = all(reader.unit == self.total_unit for reader in self.readers)
        return torch.float32 if same and reach < FLOAT32_WHOLE else torch.float64


@dataclass(frozen=True)
class AbsentWeight:
    """In the place of a weight that stands on crossbars: shape, type and device; whoever reads more is told so."""

    layer: str
    shape: torch.Size
    device: torch.device
    dtype: torch.dtype = torch.float32

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions, such as how to copy this
            raise AttributeError(name)
        raise self._error()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one axis of it."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def _error(self) -> UserError:
        return UserError(
            f"The network reads the weight of layer {self.layer!r} directly, but that stands on crossbars; "
            "call the layer instead."
        )

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any function of torch that is given this as a tensor."""
        raise next(leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, cls))._error()


class CrossbarLayer(nn.Module):
    """A layer on its arrays, convolution or linear; the same call signature, bias added digitally.

    placed: the layer's placement; spec: the arrays; bias: digital bias or None; conductance_bits: hold conductances as
    signed fixed-point numbers of so many bits (None: as they are); backend: of the products (`crossbar.engine`). Strips
    must be loaded before the first call (`CrossbarNetwork.program` does it).
    """

    bias: Tensor | None

    def __init__(
        self,
        placed: LayerPlacement,
        spec: ArraySpec,
        bias: Tensor | None,
        *,
        conductance_bits: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        """Set up without cells; `load` puts conductances in."""
        super().__init__()
        self.placed = placed
        self.spec = spec
        self.clipping = Clipping()
        self.conductance_bits = conductance_bits
        self.backend: Backend = backend
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._state = _State()

    @property
    def weight(self) -> AbsentWeight:
        """What is known of the weight without reading it; its values stand on crossbars."""
        where = self._state.strips[0].rows.device if self._state.strips else torch.device("cpu")
        return AbsentWeight(self.placed.name, torch.Size(self.placed.geometry.stored_shape), where)

    @property
    def vectors(self) -> int:
        """Input vectors read since the cells were programmed: what the draws of read noise count."""
        return self._state.vectors

    @vectors.setter
    def vectors(self, count: int) -> None:
        self._state.vectors = count

    def load(self, strips: list[PlacedStrip], seed: int) -> None:
        """Take over the programmed strips of the chip of this seed; vectors are numbered from 0 again."""
        calibration, unit = self.placed.calibration, 1.0
        converters = [strip_converter(at.strip, calibration, self.spec, seed) for at in strips]
        if self.conductance_bits is not None and strips:
            largest = max(float(at.strip.g.abs().max()) for at in strips)
            unit = largest / (2 ** (self.conductance_bits - 1) - 1)
            strips = [replace(at, strip=at.strip.rounded(unit)) for at in strips]
            converters = [None if each is None else replace(each, step=each.step / unit) for each in converters]
        self._state = _State(
            placed=self.placed,
            strips=strips,
            readers=[
                Reader(at.strip, self.spec, converter, self.backend, self.spec.twos_complement(calibration.signed))
                for at, converter in zip(strips, converters, strict=True)
            ],
            unit_s=unit_conductance(self.spec) * unit,
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CrossbarLayer:
        super()._apply(fn, recurse)
        # Conductances stay float32 whatever the network is cast to; only the device follows.
        state = self._state
        strips = [at.to(fn(torch.zeros(0, device=at.rows.device)).device) for at in state.strips]
        readers = [
            replace(old, strip=at.strip, converter=_moved(old.converter, at.rows.device))
            for old, at in zip(state.readers, strips, strict=True)
        ]
        self._state = _State(state.placed, strips, readers, state.unit_s, state.vectors)
        return self

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output for `input`, as the arrays give it."""
        if not self._state.strips and self.placed.tiles:
            raise RuntimeError(f"Layer {self.placed.name!r} holds no programmed cells; call program(seed) first.")
        geometry = self.placed.geometry
        unbatched = geometry.unbatched(input)
        x = input.unsqueeze(0) if unbatched else input
        geometry.require(x, self.placed.name)
        per_sample = max(geometry.vector_count(x[:1]), 1) * self._elements_per_vector() if len(x) else 1
        step = max(CHUNK_ELEMENTS // per_sample, 1)
        parts = [self._compute(x[i : i + step]) for i in range(0, max(len(x), 1), step)]
        y = torch.cat(parts) if len(parts) > 1 else parts[0]
        return y.squeeze(0) if unbatched else y

    def _elements_per_vector(self) -> int:
        # A total may be float64, and 128 bytes of packed inputs stand for the 128 rows of a strip.
        shape = self.placed.shape
        return 2 * shape.groups * shape.cols + max((at.rows.numel() for at in self._state.strips), default=1)

    def _compute(self, x: Tensor) -> Tensor:
        self._count_samples(x)
        if self._state.whole_weight is not None:
            return self._whole(x, *self._state.whole_weight)
        state, geometry, shape = self._state, self.placed.geometry, self.placed.shape
        driven = drive(x.float(), self.placed, self.spec)
        self.clipping.input_clipped += driven.clipped
        count = geometry.vector_count(x)
        total = torch.zeros(count, shape.groups * shape.cols, dtype=state.total_type, device=x.device)
        for phase, (sign, codes) in enumerate(driven.phases):
            vectors, offsets = geometry.gather(codes)
            for at, reader in zip(state.strips, state.readers, strict=True):
                self._read(total, at, reader, replace(vectors, offset=offsets[at.group, at.rows]), sign, phase)
        state.vectors += count
        scale = (self._scale() * state.total_unit).expand(shape.groups, shape.cols).flatten()
        return geometry.output(_finished(total, scale, self.bias, x.dtype).view(count, shape.groups, shape.cols), x)

    def _read(self, total: Tensor, at: PlacedStrip, reader: Reader, vectors: Vectors, sign: float, phase: int) -> None:
        first, state = at.group * self.placed.shape.cols, self._state
        number = {"first": state.vectors, "phase": phase}
        if at.contiguous and reader.unit == state.total_unit:
            self.clipping.adc_clipped += reader.add_to(total, first + int(at.cols[0]), vectors, sign, **number)
            return
        part = torch.zeros(len(vectors), at.cols.numel(), dtype=total.dtype, device=total.device)
        self.clipping.adc_clipped += reader.add_to(part, 0, vectors, sign, **number)
        total.index_add_(1, at.cols + first, part.mul_(reader.unit / state.total_unit))

    def _whole(self, x: Tensor, weight: Tensor, unit: float) -> Tensor:
        """One product of torch's own: nothing stands between the column sums and the outputs."""
        driven = drive(x.float(), self.placed, self.spec, signed_codes=True)
        self.clipping.input_clipped += driven.clipped
        geometry = self.placed.geometry
        y = geometry.apply(driven.phases[0][1], weight)
        shape = (-1,) + (1,) * geometry.axes
        groups, cols = self.placed.shape.groups, self.placed.shape.cols
        y *= (self._scale() * unit).expand(groups, cols).reshape(shape).to(y.device, y.dtype)
        if self.bias is not None:
            y += self.bias.reshape(shape)
        return y.to(x.dtype)

    def _scale(self) -> Tensor:
        """float64, () or (groups, cols): what a sum of 1 (conductance unit × input code) counts in an output."""
        placed, spec = self.placed, self.spec
        # One code is scale / top of an input, one unit of conductance is unit / full scale of a weight.
        top = spec.input_code_top(placed.calibration.signed)
        factor = placed.calibration.input_scale / top * self._state.unit_s / spec.encoder.full_scale_s
        return torch.as_tensor(placed.grid.scale, dtype=torch.float64) * factor

    def _count_samples(self, x: Tensor) -> None:
        phases = self.spec.input_phases(self.placed.calibration.signed)
        vectors = self.placed.geometry.vector_count(x) * phases
        self.clipping.adc_samples += sum(reader.samples(vectors) for reader in self._state.readers)
        if self.spec.input_bits is not None:
            self.clipping.input_samples += x.numel()


def _moved(converter: Converter | ColumnConverters | None, device: torch.device) -> Converter | ColumnConverters | None:
    """The converter on another torch device, where it holds tensors."""
    return converter.to(device) if isinstance(converter, ColumnConverters) else converter


def _finished(total: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """total · scale + bias, in double precision and rounded once; (n, columns). A float32 total is overwritten."""
    offset = torch.zeros_like(scale) if bias is None else bias.to(scale)
    if total.device.type != "cpu" or dtype != torch.float32:
        return (total.double() * scale.to(total.device) + offset.to(total.device)).to(dtype)
    from crossbar.product_kernels import finish
    from hwmodels import numba_threads

    numba_threads.limit(torch.get_num_threads())
    out = total if total.dtype == torch.float32 else torch.empty(total.shape)
    finish(total.numpy(), scale.numpy(), offset.numpy(), out.numpy())
    return out
