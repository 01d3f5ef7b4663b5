"""A strip: all arrays that one set of word lines drives, read in one product."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossbar.converters import adc_codes, input_cycles
from crossbar.spec import ArraySpec


@dataclass(frozen=True)
class StripRead:
    """What a strip gives for a batch of input vectors.

    sums: (n, cols) float64, Σ over cycles, signs and slices of weight · sum, in `conductance unit × input code`;
    with converters the sum of codes times the step. clipped, samples: converter samples beyond the range, and in all.
    """

    sums: Tensor
    clipped: int
    samples: int


@dataclass(frozen=True)
class Strip:
    """Conductances of the arrays on one strip of word lines.

    g: (rows, 2 · slices · cols) float32 in units of `unit_s`; column order sign, slice, column.
    unit_s: what 1 in `g` means [S]. cols: weight columns of the strip.
    """

    g: Tensor
    unit_s: float
    cols: int

    def to(self, device: torch.device | str) -> Strip:
        """The same strip on another torch device."""
        return Strip(g=self.g.to(device), unit_s=self.unit_s, cols=self.cols)

    def column_sums(self, codes: Tensor) -> Tensor:
        """Σ input code · g of every physical column: (n, rows) → (n, 2 · slices · cols), one input cycle."""
        return codes @ self.g

    def largest_sum(self, codes: Tensor, spec: ArraySpec) -> float:
        """The largest column sum over all input cycles [conductance unit × DAC code]: what calibration needs."""
        return max(
            (float(self.column_sums(cycle).max()) for _, cycle in input_cycles(codes, spec.input_bits, spec.dac_bits)),
            default=0.0,
        )

    def read(self, codes: Tensor, spec: ArraySpec, step: float | None) -> StripRead:
        """Drive the strip with input codes and add up what its converters say.

        codes: (n, rows) input codes (all bits); step: one converter step [conductance unit × DAC code], or None
        for the exact sum. Without a converter the input cycles add up to the whole code exactly, so one product
        serves them all. Cost: O(cycles · n · rows · 2 · slices · cols).
        """
        shift = self._slice_weights(spec, codes.device)
        if spec.adc_bits is None or step is None:
            return StripRead(sums=self._merge(self.column_sums(codes).double(), shift), clipped=0, samples=0)
        total = torch.zeros(codes.shape[0], self.cols, dtype=torch.float64, device=codes.device)
        clipped = torch.zeros((), dtype=torch.int64, device=codes.device)
        samples = 0
        for weight, cycle in input_cycles(codes, spec.input_bits, spec.dac_bits):
            sums, beyond = adc_codes(self.column_sums(cycle), step, spec.adc_bits)
            clipped += beyond
            samples += sums.numel()
            # Codes are whole numbers and so are the weights: float64 adds them exactly (below 2⁵³).
            total.add_(self._merge(sums.double(), shift), alpha=weight)
        return StripRead(sums=total * step, clipped=int(clipped), samples=samples)

    def _slice_weights(self, spec: ArraySpec, device: torch.device) -> Tensor:
        """(2, slices) what each sign and slice counts: ±Lˢ."""
        weights = torch.as_tensor(spec.encoding.slice_weights, dtype=torch.float64, device=device)
        return torch.stack([weights, -weights])

    def _merge(self, sums: Tensor, shift: Tensor) -> Tensor:
        """Shift-and-add: (n, 2 · slices · cols) → (n, cols)."""
        return torch.einsum("nsc,s->nc", sums.view(sums.shape[0], -1, self.cols), shift.flatten())
