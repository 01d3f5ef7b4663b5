"""Gradients through arrays and converters: what rounds or clips passes them on as if it did not round.

Straight-through estimator (Bengio, Léonard, Courville 2013, arXiv 1308.3432), stage by stage:

    input rounding and clipping   1 inside the range, 0 where an input was clipped
    product                       that of the conductances as they stand: errors and wires are fixed factors
    converter                     1 inside its range, 0 where a sample was clipped; samples of several input cycles and
                                  planes count by what their codes count in the result
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crossbar.converter_bank import ColumnConverters
from crossbar.converters import input_codes, input_cycles
from crossbar.engine import Reader
from crossbar.vectors import Vectors


def quantise(
    x: Tensor, full_scale: float, bits: int | None, *, signed: bool = False, twos_complement: bool = False
) -> Tensor:
    """Input codes of x with a gradient: 1 / top code of the full scale an input code, clipped inputs none.

    x: any shape; full_scale > 0; bits None: x / full_scale; signed: codes of both signs (positive minus negative part);
    twos_complement: codes −2^(bits−1) … 2^(bits−1) − 1. Forward equal to `converters.input_codes` bit for bit.
    """
    return _Quantise.apply(x, full_scale, bits, signed, twos_complement)  # type: ignore[no-any-return]


def read(codes: Tensor, weight: Tensor, reader: Reader) -> Tensor:
    """What a strip gives for input codes of both signs, with gradients to codes and to the weights behind the cells.

    codes: (n, rows), negative ones take a phase of their own unless reader.signed; weight: (rows, cols) latent weights
    in conductance units, only their gradient is used; reader: the strip as it stands. Returns (n, cols) float32 in
    conductance unit × input code, bit for bit `reader`'s own. Backward: ∂/∂codes = (m·grad) @ Gᵀ and
    ∂/∂weight = codesᵀ @ (m·grad), with G the strip's effective weights and m (n, cols) the share of the result that its
    converters did not clip.
    """
    return _Read.apply(codes, weight, reader)  # type: ignore[no-any-return]


def read_whole(codes: Tensor, weight: Tensor, seen: Tensor) -> Tensor:
    """The same where nothing rounds between arrays and result: one product with all arrays' effective weights.

    codes: (n, rows) of any sign; weight: (rows, cols) latent weights, only their gradient is used; seen: (rows, cols),
    the sum of `Reader.whole` of the strips that the rows and columns stand on. Returns (n, cols) float32: what `read`
    gives and adds up, but for the order of additions.
    """
    return _ReadWhole.apply(codes, weight, seen)  # type: ignore[no-any-return]


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, full_scale: float, bits: int | None, signed: bool, twos: bool) -> Tensor:
        codes = input_codes(x, full_scale, bits, signed=twos)
        if signed and not twos:
            codes = codes - input_codes(-x, full_scale, bits)
        ctx.per_input = (1 if bits is None else 2 ** (bits - twos) - 1) / full_scale
        magnitude = x.abs() if signed or twos else x
        inside = magnitude >= 0
        if bits is not None:
            inside &= magnitude <= full_scale
        ctx.save_for_backward(inside)
        return codes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside * ctx.per_input, None, None, None, None


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, weight: Tensor, reader: Reader) -> Tensor:
        total = torch.zeros(codes.shape[0], reader.strip.cols, dtype=torch.float64, device=codes.device)
        passed = None
        phases = [(1.0, codes if reader.signed else codes.clamp_min(0))]
        if not reader.signed and bool((codes < 0).any()):
            phases.append((-1.0, (-codes).clamp_min(0)))
        for phase, (sign, part) in enumerate(phases):
            if reader.add_to(total, 0, Vectors.of_matrix(part), sign, phase=phase):
                share = _unclipped(part, reader)
                passed = share if passed is None else torch.minimum(passed, share)
        ctx.reader = reader
        ctx.save_for_backward(codes, *([] if passed is None else [passed]))
        return (total * reader.unit).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        codes, *passed = ctx.saved_tensors
        grad = grads[0] * passed[0] if passed else grads[0]
        to_codes = grad @ ctx.reader.whole.to(grad.dtype).T if ctx.needs_input_grad[0] else None
        to_weight = codes.T @ grad if ctx.needs_input_grad[1] else None
        return to_codes, to_weight, None


class _ReadWhole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, weight: Tensor, seen: Tensor) -> Tensor:
        ctx.save_for_backward(codes, seen)
        return (codes.to(seen.dtype) @ seen).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        codes, seen = ctx.saved_tensors
        to_codes = grads[0] @ seen.to(grads[0].dtype).T if ctx.needs_input_grad[0] else None
        return to_codes, codes.T @ grads[0] if ctx.needs_input_grad[1] else None, None


def _unclipped(codes: Tensor, reader: Reader) -> Tensor:
    """(n, cols) share of the result, by what codes count, whose conversions stayed inside the range."""
    converter, strip, spec = reader.converter, reader.strip, reader.spec
    assert converter is not None
    counted = torch.zeros(codes.shape[0], strip.cols, device=codes.device)
    weights = torch.as_tensor(strip.plane_weights, dtype=torch.float32, device=codes.device).abs()
    every = 0.0
    for signed_weight, cycle in input_cycles(codes, spec.input_bits, spec.dac_bits, signed=reader.signed):
        weight = abs(signed_weight)
        found = strip.column_sums(cycle) / torch.as_tensor(converter.step).to(cycle)
        if isinstance(converter, ColumnConverters):  # noise apart
            found = found * converter.gain.to(found) + converter.offset.to(found)
        found = found.round()
        inside = ((found >= converter.low) & (found <= converter.top)).float()
        counted += weight * torch.einsum("nkc,k->nc", inside.view(codes.shape[0], -1, strip.cols), weights)
        every += weight * float(weights.sum())
    return counted / every
