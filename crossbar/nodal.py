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
from crossbar.circuit_nodes import bit_nodes, segments, word_nodes
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
    from crossbar.nonlinear import newton  # here, because it builds on the linear systems below

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


def linear_solution(
    g: np.ndarray,
    at_word: np.ndarray,
    at_bit: np.ndarray,
    lines: Circuit,
    method: str,
    tolerance: float,
    max_steps: int,
) -> tuple[np.ndarray, np.ndarray, int, int, bool]:
    """x, y, most steps, unknowns and whether it converged, for currents drawn at word and fed at bit nodes.

    Solves (L_word + G) x + G y = at_word, G x + (L_bit + G) y = at_bit; fields (rows, cols) or (batch, rows, cols) [A],
    added up where ideal wires make nodes one. x, y [V] have the shape of the currents.
    """
    shape = at_word.shape
    word, bit = (field.reshape(-1, *g.shape) for field in (at_word, at_bit))
    if method == "direct":
        x, y, steps, unknowns, good = _direct(g, word, bit, lines)
    else:
        x, y, steps, unknowns, good = _conjugate_gradients(g, word, bit, lines, tolerance, max_steps)
    return x.reshape(shape), y.reshape(shape), steps, unknowns, good


def _direct(
    g: np.ndarray, at_word: np.ndarray, at_bit: np.ndarray, lines: Circuit
) -> tuple[np.ndarray, np.ndarray, int, int, bool]:
    """x, y by sparse factors of the whole system, with one step of refinement."""
    import scipy.sparse as sparse
    from scipy.sparse.linalg import splu

    rows, cols = g.shape
    ports = rows + cols  # drivers and sinks: known to be 0 in x and y
    word, bit = word_nodes(lines).ravel(), bit_nodes(lines).ravel()
    a, b, ohms = segments(lines)
    used = np.union1d(word, bit)
    used = used[used >= ports]
    place = np.full(ports + 2 * g.size, -1, np.int64)
    place[used] = np.arange(used.size)
    n = used.size
    # In x and y a wire enters as (x_a − x_b)², a cell as (x + y)²: one incidence row for each.
    cell = g.ravel()
    first, second = place[np.concatenate([a, word])], place[np.concatenate([b, bit])]
    sign = np.concatenate([np.full(a.size, -1.0), np.ones(cell.size)])
    weight = np.concatenate([1 / ohms, cell])
    edges = np.arange(first.size)
    entries = [(edges, first, np.ones(first.size)), (edges, second, sign)]
    row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
    known = column < 0
    shape = (first.size, n)
    incidence = sparse.csc_array((value[~known], (row[~known], column[~known])), shape=shape)
    batch = len(at_word)
    if n == 0:
        zero = np.zeros((batch, rows, cols))
        return zero, zero.copy(), 0, 0, True
    fed = np.zeros((n + 1, batch))  # place −1: a driver or a sink
    np.add.at(fed, place[word], at_word.reshape(batch, -1).T)
    np.add.at(fed, place[bit], at_bit.reshape(batch, -1).T)
    fed = fed[:-1]
    matrix = sparse.csc_matrix(incidence.T @ (incidence * weight[:, None]))
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solved = factors.solve(fed)
    solved += factors.solve(fed - incidence.T @ (weight[:, None] * (incidence @ solved)))
    full = np.vstack([solved, np.zeros((1, batch))])
    x = full[place[word]].T.reshape(-1, rows, cols)
    y = full[place[bit]].T.reshape(-1, rows, cols)
    return x, y, 1, n, bool(np.isfinite(solved).all())


class _Words:
    """(L_word + G)⁻¹ on fields (rows, cols), whatever the wires: a chain, one node for each row, or the driver."""

    def __init__(self, g: np.ndarray, lines: Circuit) -> None:
        joined, tied = lines.topology(), ~lines.floating
        one_node = joined.word and not np.isfinite(lines.far)
        self.kind = "chain" if not one_node else "driver" if joined.first and tied.all() else "joined"
        if self.kind == "chain":
            from crossbar.nodal_kernels import factor_words

            self.up, self.inverse = np.empty_like(g), np.empty_like(g)
            factor_words(g, tied, 1 / lines.word, 1 / lines.far, self.up, self.inverse)
        elif self.kind == "joined":
            first = 1 / lines.word[0] if not joined.first else np.inf
            self.total = np.where(tied, first, 0.0)[:, None] + g.sum(axis=1, keepdims=True)
        nodes = int(lines.floating.sum()) if joined.first else g.shape[0]
        self.unknowns = {"chain": g.size, "joined": nodes, "driver": 0}[self.kind]

    def solve(self, f: np.ndarray) -> np.ndarray:
        """Drops [V] for currents f [A] drawn from the word nodes; f may be overwritten."""
        if self.kind == "chain":
            from crossbar.nodal_kernels import solve_words

            solve_words(f, self.up, self.inverse)
            return f
        if self.kind == "joined":
            return np.broadcast_to(f.sum(axis=1, keepdims=True) / self.total, f.shape)
        return np.zeros_like(f)


class _Bits:
    """L_bit + G and its inverse on the unknowns of the bit lines: (rows, cols), or (1, cols) where each is one node."""

    def __init__(self, g: np.ndarray, lines: Circuit) -> None:
        joined = lines.topology()
        self.kind = "chain" if not joined.bit else "sink" if joined.last else "joined"
        if self.kind == "chain":
            from crossbar.nodal_kernels import factor_bits

            self.up, self.inverse = np.empty_like(g), np.empty_like(g)
            factor_bits(g, 1 / lines.bit, self.up, self.inverse)
        elif self.kind == "joined":
            self.total = 1 / lines.bit[-1] + g.sum(axis=0, keepdims=True)
        self.unknowns = {"chain": g.size, "joined": g.shape[1], "sink": 0}[self.kind]

    def reduce(self, f: np.ndarray) -> np.ndarray:
        """Currents into every bit node, summed where they are one."""
        return f if self.kind == "chain" else f.sum(axis=0, keepdims=True)

    def solve(self, f: np.ndarray) -> np.ndarray:
        """Rises [V] for currents f [A] into the bit nodes; f is kept."""
        if self.kind == "chain":
            from crossbar.nodal_kernels import solve_bits

            out = f.copy()
            solve_bits(out, self.up, self.inverse)
            return out
        return f / self.total


def _conjugate_gradients(
    g: np.ndarray, at_word: np.ndarray, at_bit: np.ndarray, lines: Circuit, tolerance: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray, int, int, bool]:
    """x, y with the word lines eliminated exactly and the bit lines as preconditioner."""
    words, bits = _Words(g, lines), _Bits(g, lines)
    x, y = np.zeros_like(at_word), np.zeros_like(at_word)
    most, converged = 0, True
    for k, (drawn, fed) in enumerate(zip(at_word, at_bit, strict=True)):
        if bits.kind != "sink":
            y[k], steps, good = _bit_rises(g, drawn, fed, words, bits, tolerance, max_steps)
            most, converged = max(most, steps), converged and good
        x[k] = words.solve(drawn - g * y[k])
    return x, y, most, words.unknowns + bits.unknowns, converged


def _bit_rises(
    g: np.ndarray, drawn: np.ndarray, fed: np.ndarray, words: _Words, bits: _Bits, tolerance: float, max_steps: int
) -> tuple[np.ndarray, int, bool]:
    """y for one input by preconditioned conjugate gradients on (L_bit + G − G (L_word + G)⁻¹ G) y = fed − G x₀.

    x₀ = (L_word + G)⁻¹ drawn: the drops with all bit lines at 0 V.

    Differs from the textbook in one thing: M p is carried along with p, as M z = r is known, so the preconditioner is
    never multiplied by.
    """
    r = bits.reduce(fed - g * words.solve(drawn.copy()))
    y, p, Mp = np.zeros_like(r), np.zeros_like(r), np.zeros_like(r)
    z = bits.solve(r)
    rz = float(np.vdot(r, z))
    goal, beta = tolerance**2 * rz, 0.0
    for step in range(max_steps):
        if rz <= goal:
            return np.broadcast_to(y, g.shape), step, True
        p = z + beta * p
        Mp = r + beta * Mp
        Sp = Mp - bits.reduce(g * words.solve(g * p))
        curvature = float(np.vdot(p, Sp))
        if not (curvature > 0 and rz > 0):  # rounding has eaten the direction, or a number has left the range
            return np.broadcast_to(y, g.shape), step, False
        y += rz / curvature * p
        r -= rz / curvature * Sp
        z = bits.solve(r)
        before, rz = rz, float(np.vdot(r, z))
        beta = rz / before
    return np.broadcast_to(y, g.shape), max_steps, rz <= goal
