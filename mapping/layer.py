"""One layer computed on its arrays: input codes in, strips read, outputs put back in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from crossbar import ArraySpec
from crossbar.converters import Converter, input_codes
from hwmodels.errors import UserError
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

    Ideal inputs have no range, so a negative value that calibration did not see gets its phase all the same.
    """
    scale = placed.calibration.input_scale
    phases = [(1.0, input_codes(x, scale, spec.input_bits))]
    if placed.calibration.signed or (spec.input_bits is None and bool((x < 0).any())):
        phases.append((-1.0, input_codes(-x, scale, spec.input_bits)))
    return phases


@dataclass(eq=False)
class _State:
    strips: list[PlacedStrip] = field(default_factory=list)


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
        calibration = placed.calibration
        self._converter = None
        if spec.adc_bits is not None and calibration.adc_full_scale_s > 0:
            full_scale = calibration.adc_full_scale_s / unit_conductance(spec)
            self._converter = Converter.of_range(full_scale, spec.adc_bits, signed=spec.signed_converter)

    @property
    def weight(self) -> Tensor:
        """Not there: the weight stands on crossbars; a network that reads it past its layer is told so."""
        raise UserError(
            f"The network reads the weight of layer {self.placed.name!r} directly, but that stands on crossbars; "
            "call the layer instead."
        )

    def load(self, strips: list[PlacedStrip]) -> None:
        """Take over programmed strips."""
        self._state.strips = strips

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CrossbarLayer:
        super()._apply(fn, recurse)
        # Conductances stay float32 whatever the network is cast to; only the device follows.
        self._state.strips = [s.to(fn(torch.zeros(0, device=s.rows.device)).device) for s in self._state.strips]
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
        for sign, codes in layer_codes(x.float(), placed, spec):
            vectors = geometry.vectors(codes)
            for at in self._state.strips:
                read = at.strip.read(vectors[:, at.group, at.rows], spec, self._converter)
                total[:, at.group].index_add_(1, at.cols, read.sums, alpha=sign)
                self.clipping.adc_clipped += read.clipped
                self.clipping.adc_samples += read.samples
        # One code is scale / top of an input, one unit of conductance is unit / full scale of a weight.
        top = 1 if spec.input_bits is None else 2**spec.input_bits - 1
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
        half_step = scale / (2**self.spec.input_bits - 1) / 2
        self.clipping.input_clipped += int(((x > scale + half_step) | (x < low - half_step)).sum())
        self.clipping.input_samples += x.numel()
