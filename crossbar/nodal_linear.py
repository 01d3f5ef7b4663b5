"""The linear systems of `crossbar.nodal`: x and y of one array for currents fed at its nodes.

    (L_word + G) x + G y = a,        G x + (L_bit + G) y = b

with L the conductance matrices of the wires alone and G = diag(g): symmetric and positive definite. "cg" eliminates the
word lines exactly, row by row, and takes the bit lines as preconditioner: O(cells) a step, and a number of steps that
grows with how much the bit lines lose. "direct" factors the sparse matrix of all nodes.
"""

from __future__ import annotations

import numpy as np

from crossbar.circuit import Circuit
from crossbar.circuit_nodes import bit_nodes, segments, word_nodes


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
