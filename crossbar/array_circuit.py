"""An array of a spec as a circuit: its cells behind the wires, drivers and read-outs that the spec gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossbar.circuit import Wiring
from crossbar.spec import ArraySpec
from crossbar.wires import effective_conductance
from crossbar.wires_fast import approximate_conductance


@dataclass(frozen=True, eq=False)
class ArrayCircuit:
    """An array as a circuit: what `effective_conductance`, `solve` and `write_netlist` take.

    g: (rows, cols) [S]; wires: r_word, r_bit, r_source, r_sink [Ω].
    """

    g: np.ndarray
    wires: tuple[float, float, float, float]
    wiring: Wiring


def circuit(g: np.ndarray, spec: ArraySpec, lines: slice | np.ndarray = slice(None)) -> ArrayCircuit:
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


def behind_wires(g: np.ndarray, spec: ArraySpec, lines: slice | np.ndarray = slice(None)) -> np.ndarray:
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
