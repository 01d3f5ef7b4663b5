"""What the word lines of a layer are driven with: input codes, phase by phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossbar import ArraySpec
from crossbar.converters import input_codes
from hwmodels.errors import UserError
from mapping.placement import LayerPlacement


def layer_codes(x: Tensor, placed: LayerPlacement, spec: ArraySpec) -> list[tuple[float, Tensor]]:
    """The input phases of a layer: (+1, codes of the positive part) and, for signed inputs, (−1, of the negative).

    One phase of signed codes in two's complement. Ideal inputs have no range, so a negative value that calibration did
    not see gets its phase all the same.
    """
    scale = placed.calibration.input_scale
    if spec.twos_complement(placed.calibration.signed):
        return [(1.0, input_codes(x, scale, spec.input_bits, signed=True))]
    phases = [(1.0, input_codes(x, scale, spec.input_bits))]
    if placed.calibration.signed or (spec.input_bits is None and bool((x < 0).any())):
        phases.append((-1.0, input_codes(-x, scale, spec.input_bits)))
    return phases


@dataclass(frozen=True)
class Driven:
    """Input codes of a layer: phases of (sign, codes of the input's shape), and inputs beyond the range."""

    phases: list[tuple[float, Tensor]]
    clipped: int


def drive(x: Tensor, placed: LayerPlacement, spec: ArraySpec, *, signed_codes: bool = False) -> Driven:
    """The input phases as `layer_codes` gives them, in one pass on the CPU, where codes take a byte or two.

    x: float32; signed_codes: one phase of float codes of both signs instead, for products without a converter.
    Raises UserError for an input that is not a number.
    """
    scale, bits = placed.calibration.input_scale, spec.input_bits
    if bits is None:
        return Driven([(1.0, x / scale)] if signed_codes else layer_codes(x, placed, spec), 0)
    signed = placed.calibration.signed
    if x.device.type != "cpu" or spec.twos_complement(signed):
        return _driven_anywhere(x, placed, spec, signed_codes)
    top = 2**bits - 1
    if signed_codes:
        kind, low = torch.float32, -top if signed else 0
        found = [(1.0, *_quantised(x, top / scale, low, top, low, kind, placed.name))]
    else:
        kind = torch.uint8 if bits <= 8 else torch.uint16
        below = -np.inf if signed else 0
        found = [
            (sign, *_quantised(x, sign * top / scale, 0, top, below, kind, placed.name))
            for sign in ((1.0, -1.0) if signed else (1.0,))
        ]
    return Driven([(sign, codes) for sign, codes, _ in found], sum(clipped for _, _, clipped in found))


def _quantised(
    x: Tensor, factor: float, low: float, top: float, bottom: float, kind: torch.dtype, layer: str
) -> tuple[Tensor, int]:
    """Codes of x in the same memory layout, and how many inputs lay beyond bottom … top."""
    from crossbar.product_kernels import quantise  # numba loads only where something is computed
    from hwmodels import numba_threads

    if not (x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))):
        x = x.contiguous()
    numba_threads.limit(torch.get_num_threads())
    codes = torch.empty_like(x, dtype=kind)
    flat, out = x.detach().as_strided((x.numel(),), (1,)), codes.as_strided((x.numel(),), (1,))
    numbers = (np.float32(value) for value in (factor, low, top, bottom))
    clipped, missing = quantise(flat.numpy(), *numbers, out.numpy())
    if missing:
        raise _not_a_number(layer)
    return codes, int(clipped)


def _driven_anywhere(x: Tensor, placed: LayerPlacement, spec: ArraySpec, signed_codes: bool) -> Driven:
    """The same in plain torch, on any device."""
    assert spec.input_bits is not None
    if bool(x.isnan().any()):
        raise _not_a_number(placed.name)
    scale = placed.calibration.input_scale
    low = -scale if placed.calibration.signed else 0.0
    half_step = scale / spec.input_code_top(placed.calibration.signed) / 2
    clipped = int(((x > scale + half_step) | (x < low - half_step)).sum())
    phases = layer_codes(x, placed, spec)
    if signed_codes:
        phases = [(1.0, sum((sign * codes for sign, codes in phases[1:]), phases[0][1]))]
    return Driven(phases, clipped)


def _not_a_number(layer: str) -> UserError:
    return UserError(
        f"An input of layer {layer!r} is not a number (NaN), which no voltage stands for; check the inputs."
    )
