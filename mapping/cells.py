"""What the read-out of an array sees: its cells as wanted or as programmed, behind their wires."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from crossbar import ArraySpec, effective_conductance
from hwmodels import conductances_at, program
from mapping.conditions import Conditions
from mapping.pieces import Piece


def nominal(piece: Piece, spec: ArraySpec) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece without device error, wires included."""
    return _seen(piece, piece.contents.target, spec, ())


def programmed(piece: Piece, spec: ArraySpec, seed: int, conditions: Conditions) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece on the chip of this seed: programming error, faults, drift, wires.

    The whole array is programmed at once, dummy columns with it: a cell's draw is that of its place in the array.
    """
    known, key = piece.contents.known, (seed, conditions)
    if key not in known:
        g = program(piece.contents.target, spec.device, seed=seed, array=piece.array)
        known[key] = at_conditions(g, piece, spec, seed, conditions)
    return _seen(piece, known[key], spec, key)


def at_conditions(g: np.ndarray, piece: Piece, spec: ArraySpec, seed: int, conditions: Conditions) -> np.ndarray:
    """Programmed conductances g (rows, cols) [S] of a piece's array, at the time and temperature of reading."""
    return conductances_at(
        g, spec.device, t_s=conditions.t_s, temperature_k=conditions.temperature_k, seed=seed, array=piece.array
    )


def _seen(piece: Piece, whole: np.ndarray, spec: ArraySpec, key: tuple[Hashable, ...]) -> np.ndarray:
    """The piece's part of its whole array (rows, columns) [S], as read while only its tile's word lines are driven.

    key: which chip, when and how warm; with it the array behind its wires is kept for the tile's other pieces.
    """
    row0 = piece.tile.row0
    lines = slice(row0, row0 + piece.tile.rows.size)
    if spec.has_wires:
        known, key = piece.contents.known, (*key, piece.number)
        if key not in known:
            known[key] = behind_wires(_only(whole, lines), spec)
        whole = known[key]
    alone = piece.columns.size == whole.shape[1]
    return whole[lines] if alone else whole[lines][:, piece.columns]


def _only(g: np.ndarray, lines: slice) -> np.ndarray:
    """The array with no cells on other word lines: the transistors of rows that are not read are off."""
    if lines == slice(0, g.shape[0]):
        return g
    alone = np.zeros_like(g)
    alone[lines] = g[lines]
    return alone


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
