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

from crossbar.circuit import PLAIN, Circuit, Wires, Wiring, circuit
from crossbar.circuit_input import checked_conductances, checked_voltages
from crossbar.circuit_nodes import bit_nodes, segments, word_nodes
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
    current of any driver), floating (numbers of the word lines that are tied to nothing: no driver, all cells open).
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
    method: Method = "auto",
    tolerance: float = 1e-12,
    max_steps: int = 5000,
    throw: bool = True,
) -> Solution:
    """Currents and node voltages of one array; the circuit is that of `effective_conductance`.

    g: (rows, cols) [S], finite and ≥ 0; v: driver voltages (rows,) or (batch, rows) [V], not used where a word line is
    not driven; wire resistances [Ω] and wiring as in `effective_conductance`. tolerance: of the preconditioned residual
    of conjugate gradients, relative; with throw=False a solution that misses it is returned with the `Result` that
    says so.
    Raises UserError for bad input, and with the sentence of the `Result` where the solution is not good.
    """
    cells = checked_conductances(g, dimensions=2)
    lines = circuit(cells.shape[0], cells.shape[1], Wires(r_word, r_bit, r_source, r_sink), wiring)
    cells, inputs = lines.cells(cells), lines.inputs(checked_voltages(v, lines.rows))
    if method not in ("auto", "direct", "cg"):
        raise unknown("method", method, ("auto", "direct", "cg"))
    if not 0 < tolerance < 1:
        raise UserError(f"tolerance = {tolerance!r} asks for nothing or for the impossible. Give one between 0 and 1.")
    if max_steps < 1:
        raise UserError(f"max_steps = {max_steps!r} leaves nothing to do. Give at least 1.")
    solution = _solution(cells, inputs, lines, "cg" if method == "auto" else method, tolerance, max_steps)
    if method == "auto" and solution.result is not Result.SOLVED and cells.size <= _DIRECT_CELLS:
        solution = _solution(cells, inputs, lines, "direct", tolerance, max_steps)
    if throw and solution.result is not Result.SOLVED:
        stats = solution.stats
        raise UserError(f"{solution.result.value} (residual {stats['residual']:.1e} after {stats['steps']} steps)")
    return solution


def _solution(
    g: np.ndarray, v: np.ndarray, lines: Circuit, method: Method, tolerance: float, max_steps: int
) -> Solution:
    """The solution by one method, good or not."""
    nowhere, wires = lines.isolated(g), lines.settled(g)
    if method == "direct":
        x, y, steps, unknowns, converged = _direct(g, v, wires)
    else:
        x, y, steps, unknowns, converged = _conjugate_gradients(g, v, wires, tolerance, max_steps)
    cell_current = g * (v[:, :, None] - x - y)
    driver_current = cell_current.sum(axis=2)
    residual = _residual(cell_current, driver_current, x, y, wires)
    result = Result.SOLVED if converged else Result.STEPS
    if converged and not residual <= max(_GOOD, tolerance):
        result = Result.INACCURATE
    v_word = v[:, :, None] - x
    v_word[:, nowhere] = np.nan
    return Solution(
        currents=cell_current.sum(axis=1),
        v_word=v_word,
        v_bit=y,
        power_w=(driver_current * v).sum(axis=1),
        result=result,
        stats={
            "method": method,
            "steps": steps,
            "unknowns": unknowns,
            "residual": residual,
            "floating": tuple(np.flatnonzero(nowhere).tolist()),
        },
    )


def _residual(cell: np.ndarray, driver: np.ndarray, x: np.ndarray, y: np.ndarray, lines: Circuit) -> float:
    """Largest sum of currents at a node over the largest driver current; nodes joined by ideal wires are one."""
    joined, tied = lines.topology(), ~lines.floating
    sums = []
    if not joined.word or np.isfinite(lines.far):
        flow = np.zeros((*x.shape[:2], x.shape[2] + 1))  # current through what lies before and behind every cell
        flow[:, :, 1:-1] = np.diff(x, axis=2) / lines.word[1:]
        flow[:, tied, 0] = x[:, tied, 0] / lines.word[0]
        flow[:, tied, -1] = -x[:, tied, -1] / lines.far
        sums.append(-np.diff(flow, axis=2) - cell)
    else:
        sums.append(np.where(tied, x[:, :, 0] / lines.word[0] if not joined.first else driver, 0.0) - driver)
    if not joined.bit:
        flow = np.append(-np.diff(y, axis=1), y[:, -1:], axis=1) / lines.bit[:, None]  # through what lies after a cell
        sums.append(flow - np.insert(flow[:, :-1], 0, 0.0, axis=1) - cell)
    elif not joined.last:
        sums.append(y[:, -1] / lines.bit[-1] - cell.sum(axis=1))
    largest = max((float(np.abs(s).max()) for s in sums), default=0.0)
    scale = float(np.abs(driver).max())
    return largest / scale if scale > 0 else largest


def _direct(g: np.ndarray, v: np.ndarray, lines: Circuit) -> tuple[np.ndarray, np.ndarray, int, int, bool]:
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
    drive = np.zeros((first.size, len(v)))
    drive[a.size :] = np.repeat(v.T, cols, axis=0)
    if n == 0:
        zero = np.zeros((len(v), rows, cols))
        return zero, zero.copy(), 0, 0, True
    matrix = sparse.csc_matrix(incidence.T @ (incidence * weight[:, None]))
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solved = factors.solve(incidence.T @ (weight[:, None] * drive))
    solved += factors.solve(incidence.T @ (weight[:, None] * (drive - incidence @ solved)))
    full = np.vstack([solved, np.zeros((1, len(v)))])  # place −1: a driver or a sink
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
    g: np.ndarray, v: np.ndarray, lines: Circuit, tolerance: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray, int, int, bool]:
    """x, y with the word lines eliminated exactly and the bit lines as preconditioner."""
    words, bits = _Words(g, lines), _Bits(g, lines)
    x, y = np.zeros((len(v), *g.shape)), np.zeros((len(v), *g.shape))
    most, converged = 0, True
    for k, drive in enumerate(v):
        driven = g * drive[:, None]
        if bits.kind != "sink":
            y[k], steps, good = _bit_rises(g, driven, words, bits, tolerance, max_steps)
            most, converged = max(most, steps), converged and good
        x[k] = words.solve(driven - g * y[k])
    return x, y, most, words.unknowns + bits.unknowns, converged


def _bit_rises(
    g: np.ndarray, driven: np.ndarray, words: _Words, bits: _Bits, tolerance: float, max_steps: int
) -> tuple[np.ndarray, int, bool]:
    """y for one input by preconditioned conjugate gradients on (L_bit + G − G (L_word + G)⁻¹ G) y = G (v − x₀).

    Differs from the textbook in one thing: M p is carried along with p, as M z = r is known, so the preconditioner is
    never multiplied by.
    """
    r = bits.reduce(driven - g * words.solve(driven.copy()))
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
