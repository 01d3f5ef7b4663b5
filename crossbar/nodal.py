"""Node voltages and currents of one array with wires, for given inputs.

The unknowns are what the wires take away: x = v − V_word, the drop along a word line, and y = V_bit, the rise along a
bit line. A cell carries g (v − x − y), so small drops keep all their digits, and every current is computed at the
cell, never as a small difference over a small wire resistance. Both sets of Kirchhoff's law then read

    (L_word + G) x + G y = G v,        G x + (L_bit + G) y = G v

with L the conductance matrices of the wires alone (drivers and sinks grounded) and G = diag(g). This is symmetric and
positive definite for any g ≥ 0 and any finite wires. A floating word line has no driver: v is 0 there, and x the
negative of its voltage; one whose cells are all open has no voltage and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from crossbar import kirchhoff
from crossbar.circuit import PLAIN, Circuit, Wires, Wiring, circuit
from crossbar.circuit_input import checked_conductances, checked_voltages
from crossbar.nodal_linear import linear_solution
from crossbar.nonlinear import newton
from hwmodels.devices.effects import Conduction
from hwmodels.errors import UserError, unknown

Method = Literal["auto", "direct", "cg"]
"""cg: conjugate gradients with bit lines as preconditioner, the fastest at every size. direct: sparse factors, slow and
obvious. auto: cg, and direct after it where cg fails and the factors are small enough."""

_DIRECT_CELLS = 256 * 256
"""Cells up to which "auto" may fall back on the sparse factors: about a second and half a gigabyte."""

_GOOD = 1e-8
"""Residual that a solution may have; ordinary arrays reach 1e-12."""


class Result(Enum):
    """How a solution ended: a sentence, and the remedy where one is needed."""

    SOLVED = "Solved to the tolerance asked for."
    STEPS = "Conjugate gradients ended above the tolerance. Raise max_steps or tolerance, or take method='direct'."
    NEWTON = (
        "Newton's method ended above the tolerance. Raise max_steps or tolerance, take method='direct', or lower the "
        "input voltages: currents that grow by many decades between the wires and the drivers take many steps."
    )
    RANGE = (
        "A cell carries a voltage beyond max_v, up to where its I–V is known; beyond it the law was continued as a "
        "straight line. Lower the input voltages, or give a law that is measured further."
    )
    INACCURATE = (
        "The currents at some node do not add up to 0. The resistances lie too far apart for this "
        "method; effective_conductance() gives the currents to full precision whatever the ratios."
    )


@dataclass(frozen=True)
class Solution:
    """What an array does for a batch of inputs.

    currents (batch, cols): bit-line currents into the read-outs [A]. v_word, v_bit (batch, rows, cols): voltages at
    the two ends of every cell (with its access transistor) [V]; NaN on a word line that stays floating. power_w
    (batch,): what the drivers give [W], turned into heat in cells and wires. result: how it ended. stats: method,
    steps (most of any input), unknowns, residual (the largest sum of currents at any node, as a fraction of the largest
    current of any driver), floating (numbers of the word lines that are tied to nothing: no driver, all cells open);
    with non-linear cells also newton_steps (most of any input; `steps` are then all those inside) and largest_cell_v,
    the largest voltage across a cell without its access transistor [V].
    """

    currents: np.ndarray
    v_word: np.ndarray
    v_bit: np.ndarray
    power_w: np.ndarray
    result: Result
    stats: dict[str, Any]


def solve(
    g: ArrayLike,
    v: ArrayLike,
    r_word: float,
    r_bit: float,
    r_source: float = 0.0,
    r_sink: float = 0.0,
    *,
    wiring: Wiring = PLAIN,
    conduction: Conduction | None = None,
    method: Method = "auto",
    tolerance: float = 1e-12,
    max_steps: int = 5000,
    throw: bool = True,
) -> Solution:
    """Currents and node voltages of one array; the circuit is that of `effective_conductance`.

    g: (rows, cols) [S], finite and ≥ 0; v: driver voltages (rows,) or (batch, rows) [V], not used where a word line is
    not driven; wire resistances [Ω] and wiring as in `effective_conductance`. conduction: the I–V of the cells,
    `device.conduction`; g is then their conductance at 0 V (None: linear cells). tolerance: of the preconditioned
    residual of conjugate gradients, relative; with non-linear cells of the last Newton step (`nonlinear.newton`);
    max_steps: of either. With throw=False a solution that misses it is returned with the `Result` that says so.
    Raises UserError for bad input, and with the sentence of the `Result` where the solution is not good.
    """
    cells = checked_conductances(g, dimensions=2)
    lines = circuit(cells.shape[0], cells.shape[1], Wires(r_word, r_bit, r_source, r_sink), wiring)
    cells = lines.live(cells) if conduction is not None else lines.cells(cells)
    inputs = lines.inputs(checked_voltages(v, lines.rows))
    if method not in ("auto", "direct", "cg"):
        raise unknown("method", method, ("auto", "direct", "cg"))
    if not 0 < tolerance < 1:
        raise UserError(f"tolerance = {tolerance!r} asks for nothing or for the impossible. Give one between 0 and 1.")
    if max_steps < 1:
        raise UserError(f"max_steps = {max_steps!r} leaves nothing to do. Give at least 1.")
    solution = _solution(cells, inputs, lines, conduction, "cg" if method == "auto" else method, tolerance, max_steps)
    if method == "auto" and solution.result not in _FINAL and cells.size <= _DIRECT_CELLS:
        solution = _solution(cells, inputs, lines, conduction, "direct", tolerance, max_steps)
    if throw and solution.result is not Result.SOLVED:
        stats = solution.stats
        raise UserError(f"{solution.result.value} (residual {stats['residual']:.1e} after {stats['steps']} steps)")
    return solution


_FINAL = (Result.SOLVED, Result.RANGE)
"""What another method would not change."""


def _solution(
    g: np.ndarray,
    v: np.ndarray,
    lines: Circuit,
    law: Conduction | None,
    method: Method,
    tolerance: float,
    max_steps: int,
) -> Solution:
    """The solution by one method, good or not."""
    nowhere, wires = lines.isolated(g), lines.settled(g)
    if law is not None:
        x, y, cell_current, stats, failure = _nonlinear(g, v, wires, law, method, tolerance, max_steps)
    else:
        drive = g * v[:, :, None]
        x, y, steps, unknowns, good = linear_solution(g, drive, drive, wires, method, tolerance, max_steps)
        cell_current = g * (v[:, :, None] - x - y)
        stats, failure = {"steps": steps, "unknowns": unknowns}, None if good else Result.STEPS
    driver_current = cell_current.sum(axis=2)
    residual = kirchhoff.residual(cell_current, driver_current, x, y, wires)
    if failure is None and not residual <= max(_GOOD, tolerance):
        failure = Result.INACCURATE
    v_word = v[:, :, None] - x
    v_word[:, nowhere] = np.nan
    return Solution(
        currents=cell_current.sum(axis=1),
        v_word=v_word,
        v_bit=y,
        power_w=(driver_current * v).sum(axis=1),
        result=failure or Result.SOLVED,
        stats={
            "method": method,
            **stats,
            "residual": residual,
            "floating": tuple(np.flatnonzero(nowhere).tolist()),
        },
    )


def _nonlinear(
    g: np.ndarray, v: np.ndarray, lines: Circuit, law: Conduction, method: Method, tolerance: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any], Result | None]:
    """x, y, cell currents, stats and what went wrong, input by input."""
    found = [newton(g, drive, lines, law, method, tolerance, max_steps) for drive in v]
    x, y, current = (np.stack([getattr(one, name) for one in found]) for name in ("x", "y", "current"))
    largest = max(one.largest_v for one in found)
    stats = {
        "steps": max(one.inner for one in found),
        "newton_steps": max(one.steps for one in found),
        "unknowns": found[0].unknowns,
        "largest_cell_v": largest,
    }
    if not all(one.converged for one in found):
        return x, y, current, stats, Result.NEWTON
    return x, y, current, stats, Result.RANGE if largest > law.max_v * (1 + 1e-9) else None
