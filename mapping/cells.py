"""What the read-out of an array sees: its cells as wanted or as programmed, behind their wires."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from crossbar import ArraySpec, Wiring, approximate_conductance, effective_conductance
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
            known[key] = behind_wires(whole, spec, lines)
        whole = known[key]
    alone = piece.columns.size == whole.shape[1]
    return whole[lines] if alone else whole[lines][:, piece.columns]


@dataclass(frozen=True, eq=False)
class ArrayCircuit:
    """An array as a circuit: what `effective_conductance`, `solve` and `write_netlist` take.

    g: (rows, cols) [S]; wires: r_word, r_bit, r_source, r_sink [Ω].
    """

    g: np.ndarray
    wires: tuple[float, float, float, float]
    wiring: Wiring


def circuit(g: np.ndarray, spec: ArraySpec, lines: slice = slice(None)) -> ArrayCircuit:
    """The circuit of cells g (rows, cols) [S] on word and bit lines 0, 1, … of an array of the spec's size.

    lines: the word lines of g that are driven. A bit line runs on to the read-out below the array's last row, so the
    rows behind g add their segments to the read-out's resistance. Cells on undriven rows conduct where
    spec.unused_rows does not shut them off; behind g stand idle cells, at g_min, without programming error. Columns
    not in use lie behind the last one in use and carry no current; a second driver stands behind them.
    """
    used, cols = g.shape
    off = spec.unused_rows == "off"
    driven = np.zeros(spec.rows, dtype=bool)
    driven[:used][lines] = True
    r_sink = spec.r_sink_ohm
    if off:
        g = np.where(driven[:used, None], g, 0.0)
        r_sink += (spec.rows - used) * spec.r_bit_ohm
    else:
        idle = 0.0 if spec.idle == "open" else spec.device.g_min_s
        g = np.concatenate([g, np.full((spec.rows - used, cols), idle)])
    return ArrayCircuit(
        g=g,
        wires=(spec.r_word_ohm, spec.r_bit_ohm, spec.r_source_ohm, r_sink),
        wiring=Wiring(
            r_access_ohm=spec.r_access_ohm,
            r_far_source_ohm=spec.r_source_ohm + (spec.cols - cols) * spec.r_word_ohm if spec.both_ends else None,
            driven=None if off else tuple(driven.tolist()),
            undriven=spec.unused_rows,
        ),
    )


def behind_wires(g: np.ndarray, spec: ArraySpec, lines: slice = slice(None)) -> np.ndarray:
    """The conductances that turn word-line voltages into bit-line currents exactly, `v @ g_eff`, of the shape of g.

    g: (rows, cols) [S]; lines: the word lines that are driven, the only rows of the result that have a meaning; see
    `circuit`. With no resistance anywhere the conductances come back as they are.
    """
    if not spec.has_wires:
        return g
    array, used = circuit(g, spec, lines), g.shape[0]
    if spec.wire_model == "fast":
        return approximate_conductance(array.g, *array.wires, wiring=array.wiring).g_eff[:used]
    return effective_conductance(array.g, *array.wires, wiring=array.wiring)[:used]
