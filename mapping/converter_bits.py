"""The fewest converter bits that lose nothing, layer by layer, for the cells that a placement really has."""

from __future__ import annotations

from itertools import groupby
from math import ceil

import numpy as np
import pandas as pd

from crossbar import ArraySpec
from mapping.pieces import Piece
from mapping.placement import Placement
from mapping.strips import converted_planes


def lossless_bits(placement: Placement) -> pd.DataFrame:
    """A row per layer: layer, adc_bits_tight, adc_bits_safe (float; NaN where the question has no answer).

    A converter loses nothing when its step is one conductance step Δg = (g_max − g_min)/(L − 1) and its range holds the
    largest sum of its column over all inputs: bits = bit length of ceil(S_max / Δg), with S_max = (2^v − 1) Σg over the
    rows of the column, v bits a driver; one bit more where currents are subtracted before the converter, whose b bits
    reach from −2^(b−1) to 2^(b−1) − 1. tight: with the conductances that stand there. safe: whatever is stored in the
    live cells (`required_adc_bits` of the encoding). g_min stays in the sums wherever nothing cancels it before the
    converter. No answer: ideal inputs, unevenly spaced levels, a layer without cells.
    """
    tight: dict[str, int] = {}
    for layer, pieces in groupby(placement.pieces(), key=lambda piece: piece.layer):
        spec = placement.spec_of(layer)
        if spec.input_bits is not None and (step := _step(spec)):
            tight[layer.name] = _bits(list(pieces), spec, step)
    safe: dict[str, int] = {}
    for label, bits in zip(placement.tiles["layer"], placement.tiles["adc_bits_needed"], strict=True):
        safe[label] = max(safe.get(label, 0), bits)
    rows = [
        (name, float(tight[name]), float(safe[layer.label])) if name in tight else (name, np.nan, np.nan)
        for name, layer in placement.layers.items()
    ]
    return pd.DataFrame(rows, columns=["layer", "adc_bits_tight", "adc_bits_safe"])


def _step(spec: ArraySpec) -> float:
    """One conductance step [S]; 0 where the levels are not evenly spaced."""
    steps = np.diff(spec.device.level_conductances())
    return float(steps[0]) if np.allclose(steps, steps[0], rtol=1e-6, atol=0) else 0.0


def _bits(pieces: list[Piece], spec: ArraySpec, step: float) -> int:
    """Bits for the fullest column of a layer's pieces, over all inputs."""
    above = below = 0.0
    for _, members in groupby(sorted(pieces, key=lambda piece: piece.number), key=lambda piece: piece.number):
        parts = list(members)
        g = converted_planes(parts[0].tile, parts, spec, lambda piece: piece.target)
        above = max(above, float(g.clip(min=0).sum(axis=0).max()))
        below = max(below, float(-g.clip(max=0).sum(axis=0).min()))
    # A sum of floats may stand a rounding above the whole number that it is.
    up, down = (ceil(sum_s * (2**spec.dac_bits - 1) / step * (1 - 1e-9)) for sum_s in (above, below))
    return 1 + max(up, down - 1, 0).bit_length() if spec.signed_converter else up.bit_length()
