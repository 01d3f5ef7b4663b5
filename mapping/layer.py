"""One layer computed on its arrays: input codes in, strips read, outputs put back in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from crossbar import ArraySpec
from crossbar.converter_bank import ColumnConverters
from crossbar.converters import Converter, input_codes
from hwmodels.errors import UserError
from mapping.converters import strip_converter
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


def layer_codes(x: Tensor, placed: LayerPlacement, spec: ArraySpec) -> list[tuple[float, Tensor]]:
    """The input phases of a layer: (+1, codes of the positive part) and, for signed inputs, (−1, of the negative).

    One phase of signed codes in two's complement. Ideal inputs have no range, so a negative value that calibration did
    not see gets its phase all the same.
    """
    calibration = placed.calibration
    if spec.twos_complement(calibration.signed):
        return [(1.0, input_codes(x, calibration.input_scale, spec.input_bits, signed=True))]
    phases = [(1.0, input_codes(x, calibration.input_scale, spec.input_bits))]
    if calibration.signed or (spec.input_bits is None and bool((x < 0).any())):
        phases.append((-1.0, input_codes(-x, calibration.input_scale, spec.input_bits)))
    return phases


@dataclass(eq=False)
class _State:
    strips: list[PlacedStrip] = field(default_factory=list)
    converters: list[Converter | ColumnConverters | None] = field(default_factory=list)
    vectors: int = 0


class CrossbarLayer(nn.Module):
    """A Conv2d or Linear layer on its arrays; the same call signature, bias added digitally.

    placed: the layer's placement; spec: the arrays; bias: digital bias or None. `strips` must be set before the
    first call (`CrossbarNetwork.program` does it).
    """

    bias: Tensor | None

    def __init__(self, placed: LayerPlacement, spec: ArraySpec, bias: Tensor | None) -> None:
        """Set up without cells; `load` puts conductances in."""
        super().__init__()
        self.placed = placed
        self.spec = spec
        self.clipping = Clipping()
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self._state = _State()

    @property
    def weight(self) -> Tensor:
        """Not there: the weight stands on crossbars; a network that reads it past its layer is told so."""
        raise UserError(
            f"The network reads the weight of layer {self.placed.name!r} directly, but that stands on crossbars; "
            "call the layer instead."
        )

    def load(self, strips: list[PlacedStrip], seed: int) -> None:
        """Take over the programmed strips of the chip of this seed; vectors are numbered from 0 again."""
        converters = [strip_converter(at.strip, self.placed.calibration, self.spec, seed) for at in strips]
        self._state = _State(strips, converters)
        self._place_converters()

    def _place_converters(self) -> None:
        """Put converters that hold tensors where their strip is."""
        state = self._state
        state.converters = [
            converter.to(at.rows.device) if isinstance(converter, ColumnConverters) else converter
            for at, converter in zip(state.strips, state.converters, strict=True)
        ]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CrossbarLayer:
        super()._apply(fn, recurse)
        # Conductances stay float32 whatever the network is cast to; only the device follows.
        self._state.strips = [s.to(fn(torch.zeros(0, device=s.rows.device)).device) for s in self._state.strips]
        self._place_converters()
        return self

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output for `input`, as the arrays give it."""
        if not self._state.strips and self.placed.tiles:
            raise RuntimeError(f"Layer {self.placed.name!r} holds no programmed cells; call program(seed) first.")
        placed = self.placed
        per_vector = self._elements_per_vector()
        unbatched = input.dim() == (3 if placed.geometry.kind == "Conv2d" else 1)
        x = input.unsqueeze(0) if unbatched else input
        vectors = max(placed.geometry.vector_count(x[:1]), 1) if len(x) else 1
        step = max(CHUNK_ELEMENTS // (vectors * per_vector), 1)
        parts = [self._compute(x[i : i + step]) for i in range(0, max(len(x), 1), step)]
        y = torch.cat(parts) if len(parts) > 1 else parts[0]
        return y.squeeze(0) if unbatched else y

    def _elements_per_vector(self) -> int:
        shape = self.placed.shape
        return shape.groups * shape.rows + max((s.strip.g.shape[1] for s in self._state.strips), default=1)

    def _compute(self, x: Tensor) -> Tensor:
        placed, spec = self.placed, self.spec
        geometry, shape, scale = placed.geometry, placed.shape, placed.calibration.input_scale
        self._count_inputs(x)
        total = torch.zeros(geometry.vector_count(x), shape.groups, shape.cols, dtype=torch.float64, device=x.device)
        signed = spec.twos_complement(placed.calibration.signed)
        for phase, (sign, codes) in enumerate(layer_codes(x.float(), placed, spec)):
            vectors = geometry.vectors(codes)
            for at, converter in zip(self._state.strips, self._state.converters, strict=True):
                read = at.strip.read(
                    vectors[:, at.group, at.rows],
                    spec,
                    converter,
                    signed=signed,
                    first=self._state.vectors,
                    phase=phase,
                )
                total[:, at.group].index_add_(1, at.cols, read.sums, alpha=sign)
                self.clipping.adc_clipped += read.clipped
                self.clipping.adc_samples += read.samples
        # One code is scale / top of an input, one unit of conductance is unit / full scale of a weight.
        self._state.vectors += len(total)
        top = spec.input_code_top(placed.calibration.signed)
        weight_scale = torch.as_tensor(placed.grid.scale, dtype=torch.float64, device=x.device)
        total *= weight_scale * (scale / top * unit_conductance(spec) / spec.encoder.full_scale_s)
        if self.bias is not None:
            total += self.bias.to(torch.float64).view(shape.groups, shape.cols)
        return geometry.output(total.to(x.dtype), x)

    def _count_inputs(self, x: Tensor) -> None:
        scale = self.placed.calibration.input_scale
        low = -scale if self.placed.calibration.signed else 0.0
        if self.spec.input_bits is None:
            return
        half_step = scale / self.spec.input_code_top(self.placed.calibration.signed) / 2
        self.clipping.input_clipped += int(((x > scale + half_step) | (x < low - half_step)).sum())
        self.clipping.input_samples += x.numel()
