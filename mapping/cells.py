"""What the read-out of an array sees: its cells as wanted or as programmed, behind their wires."""

from __future__ import annotations

import numpy as np

from crossbar import ArraySpec, effective_conductance
from hwmodels import conductances_at, program
from mapping.conditions import Conditions
from mapping.placement import Piece


def nominal(piece: Piece, spec: ArraySpec) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece without device error, wires included."""
    return behind_wires(piece.target, spec)


def programmed(piece: Piece, spec: ArraySpec, seed: int, conditions: Conditions) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece on the chip of this seed: programming error, faults, drift, wires."""
    g = program(piece.target, spec.device, seed=seed, array=piece.array)
    return behind_wires(at_conditions(g, piece, spec, seed, conditions), spec)


def at_conditions(g: np.ndarray, piece: Piece, spec: ArraySpec, seed: int, conditions: Conditions) -> np.ndarray:
    """Programmed conductances g (rows, cols) [S] of a piece, at the time and temperature of reading."""
    return conductances_at(
        g, spec.device, t_s=conditions.t_s, temperature_k=conditions.temperature_k, seed=seed, array=piece.array
    )


def behind_wires(g: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """The conductances that turn word-line voltages into bit-line currents exactly: `v @ g_eff`.

    g: (rows, cols) [S], standing at word and bit lines 0, 1, … of an array of the spec's size. A bit line runs on to
    the read-out below the array's last row, so the rows not in use add their segments to the read-out's resistance;
    they are taken as without cells (undriven and floating). Columns not in use lie behind the last one in use and
    carry no current. With no resistance anywhere the conductances come back as they are.
    """
    if not spec.has_wires:
        return g
    below = (spec.rows - g.shape[0]) * spec.r_bit_ohm
    return effective_conductance(
        g, spec.r_word_ohm, spec.r_bit_ohm, r_source=spec.r_source_ohm, r_sink=spec.r_sink_ohm + below
    )
