"""The fewest converter bits that lose nothing, layer by layer, for the cells that a placement really has."""

from __future__ import annotations

from math import ceil, inf

import numpy as np
import pandas as pd

from crossbar import ArraySpec
from mapping.placement import Piece, Placement


def lossless_bits(placement: Placement) -> pd.DataFrame:
    """A row per layer: layer, adc_bits_tight, adc_bits_safe (float; NaN where the question has no answer).

    A converter loses nothing when its step is one conductance step Δg = (g_max − g_min)/(L − 1) and its range holds the
    largest sum of its column over all inputs: bits = bit length of ceil(S_max / Δg), with S_max = (2^v − 1) Σg over the
    rows of the column, v bits a driver. tight: with the conductances that stand there. safe: with every live cell at
    g_max, whatever is stored. Positive and negative arrays are converted apart, so g_min stays in the sums; the pair
    cancels it afterwards. No answer: ideal inputs, unevenly spaced levels, a layer without cells.
    """
    spec = placement.array
    step = _step(spec)
    sums: dict[str, tuple[float, float]] = {}
    for piece in placement.pieces():
        tight, safe = sums.get(piece.layer.name, (0.0, 0.0))
        now = _largest_sums(piece, spec)
        sums[piece.layer.name] = (max(tight, now[0]), max(safe, now[1]))
    largest_input = inf if spec.input_bits is None else 2**spec.dac_bits - 1
    rows = [
        (name, *(_bits(g_s * largest_input / step) if step else np.nan for g_s in sums.get(name, (0.0, 0.0))))
        for name in placement.layers
    ]
    return pd.DataFrame(rows, columns=["layer", "adc_bits_tight", "adc_bits_safe"])


def _step(spec: ArraySpec) -> float:
    """One conductance step [S]; 0 where the levels are not evenly spaced."""
    steps = np.diff(spec.device.level_conductances())
    return float(steps[0]) if np.allclose(steps, steps[0], rtol=1e-6, atol=0) else 0.0


def _largest_sums(piece: Piece, spec: ArraySpec) -> tuple[float, float]:
    """Σg of the fullest column [S]: as it stands, and with each of its weights at g_max."""
    at = np.ix_(piece.tile.rows, piece.tile.cols)
    live = piece.layer.live[piece.tile.group][at]
    sign = np.sign(piece.layer.grid.values)[piece.layer.index[piece.tile.group][at]]
    full = np.where(live & (sign == piece.sign), spec.device.g_max_s, piece.target)
    return float(piece.target.sum(axis=0).max()), float(full.sum(axis=0).max())


def _bits(largest: float) -> float:
    """Bits for sums from 0 to `largest` steps; NaN where there is no step or nothing to convert."""
    if not 0 < largest < inf:
        return np.nan
    # A sum of floats may stand a rounding above the whole number that it is.
    return float(ceil(largest * (1 - 1e-9)).bit_length())
