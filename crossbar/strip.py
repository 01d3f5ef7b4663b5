"""A strip: all arrays that one set of word lines drives, read in one product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
        if spec.adc_bits is None or step is None:
            sums = self.column_sums(codes).double().view(codes.shape[0], -1, self.cols)
            weights = torch.from_numpy(sign_and_slice_weights(spec)).to(codes.device)
            return StripRead(sums=torch.einsum("nkc,k->nc", sums, weights), clipped=0, samples=0)
        total = torch.zeros(codes.shape[0], self.cols, dtype=torch.float64, device=codes.device)
        clipped = samples = 0
        for weight, cycle in input_cycles(codes, spec.input_bits, spec.dac_bits):
            sums = self.column_sums(cycle)
            samples += sums.numel()
            clipped += convert_and_add(sums, step, spec.adc_bits, weight * sign_and_slice_weights(spec), total)
        return StripRead(sums=total * step, clipped=clipped, samples=samples)


def sign_and_slice_weights(spec: ArraySpec) -> np.ndarray:
    """(2 · slices,) float64: what a code of each sign and slice counts in the result, ±Lˢ."""
    weights = spec.encoding.slice_weights
    return np.concatenate([weights, -weights])


def convert_and_add(sums: Tensor, step: float, bits: int, weights: np.ndarray, total: Tensor) -> int:
    """Add the converters' codes of column sums, weighted, to the total; the number of clipped samples.

    sums: (n, K · cols) float32; step: one code in the unit of the sums; weights: (K,) whole numbers; total: (n, cols)
    float64, added to in place. On the CPU one compiled pass, elsewhere its slow twin `convert_and_add_reference`,
    with the same result bit for bit: codes and weights are whole numbers, so every order of adding is exact.
    """
    if sums.device.type != "cpu":
        return convert_and_add_reference(sums, step, bits, weights, total)
    from crossbar.product_kernels import adc_shift_add  # numba loads only where something is computed
    from hwmodels import numba_threads

    numba_threads.limit(torch.get_num_threads())
    return int(
        adc_shift_add(
            sums.numpy(), np.float32(step), np.float32(2**bits - 1), np.ascontiguousarray(weights), total.numpy()
        )
    )


def convert_and_add_reference(sums: Tensor, step: float, bits: int, weights: np.ndarray, total: Tensor) -> int:
    """The same as `convert_and_add`, written plainly in torch, for any device."""
    codes, clipped = adc_codes(sums.clone(), step, bits)
    parts = codes.double().view(codes.shape[0], -1, total.shape[1])
    total += torch.einsum("nkc,k->nc", parts, torch.from_numpy(weights).to(parts.device))
    return int(clipped)
