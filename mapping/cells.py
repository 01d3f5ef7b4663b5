"""What the read-out of an array sees: its cells as wanted or as programmed, behind their wires."""

from __future__ import annotations

import numpy as np

from crossbar import ArraySpec, Wiring, approximate_conductance, effective_conductance
from hwmodels import program
from mapping.placement import Piece


def nominal(piece: Piece, spec: ArraySpec) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece without device error, wires included."""
    return behind_wires(piece.target, spec)


def programmed(piece: Piece, spec: ArraySpec, seed: int) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece on the chip of this seed: programming error, faults, wires."""
    return behind_wires(program(piece.target, spec.device, seed=seed, array=piece.array), spec)


def behind_wires(g: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """The conductances that turn word-line voltages into bit-line currents exactly: `v @ g_eff`.

    g: (rows, cols) [S], standing at word and bit lines 0, 1, … of an array of the spec's size. A bit line runs on to
    the read-out below the array's last row, so the rows not in use add their segments to the read-out's resistance.
    Idle cells on them conduct where spec.unused_rows does not shut them off: at g_min, without programming error.
    Columns not in use lie behind the last one in use and carry no current; a second driver stands behind them. With no
    resistance anywhere the conductances come back as they are.
    """
    if not spec.has_wires:
        return g
    used, cols = g.shape
    below = spec.rows - used
    wiring = Wiring(
        r_access_ohm=spec.r_access_ohm,
        r_far_source_ohm=spec.r_source_ohm + (spec.cols - cols) * spec.r_word_ohm if spec.both_ends else None,
        driven=None if spec.unused_rows == "off" else np.arange(spec.rows) < used,
        undriven=spec.unused_rows,
    )
    r_sink = spec.r_sink_ohm
    if spec.unused_rows == "off":
        r_sink += below * spec.r_bit_ohm
    else:
        idle = 0.0 if spec.idle == "open" else spec.device.g_min_s
        g = np.concatenate([g, np.full((below, cols), idle)])
    wires = (spec.r_word_ohm, spec.r_bit_ohm, spec.r_source_ohm, r_sink)
    if spec.wire_model == "fast":
        return approximate_conductance(g, *wires, wiring=wiring).g_eff[:used]
    return effective_conductance(g, *wires, wiring=wiring)[:used]
