"""IR drop: what the wires of an array leave of its conductances, exactly.

An array of linear cells and wires is one linear circuit, so its bit-line currents are v @ g_eff with a matrix g_eff
[S] of the same shape as g. It is the conductance between every driver and every read-out once all nodes in between are
eliminated; see `circuit` for the circuit, `wires_plan` for the order, `wires_kernels` for the arithmetic.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike

from crossbar import wires_plan
from crossbar.circuit import Wires, bit_nodes, checked_conductances, segments, word_nodes

_LANES_WANTED = 64
"""Leaves that are worth working on together: small arrays are taken in chunks of as many as give this many leaves."""


def effective_conductance(
    g: ArrayLike, r_word: float, r_bit: float, r_source: float = 0.0, r_sink: float = 0.0
) -> np.ndarray:
    """Conductances g_eff [S] such that the bit-line currents of arrays with wires are v @ g_eff [A], exactly.

    g: cell conductances [S], shape (…, rows, cols), finite and ≥ 0 (0 S: open crossing). r_word, r_bit: resistance of
    the wire segment before every cell of a word line and after every cell of a bit line [Ω]; r_source, r_sink: in
    series with every driver and every read-out [Ω]. Each is finite and ≥ 0, and 0 is an ideal wire, exactly.
    Returns float64 of the shape of g; all wires ideal returns a copy of g.

    All inputs at once by nested dissection, O(n³) for n × n cells. Each entry is right to about 1e-14 of itself,
    whatever the ratios of the resistances: nothing is subtracted on the way. Arrays of a batch are independent and
    spread over numba's threads. Raises UserError for anything that is not a conductance or a wire resistance.
    """
    g = checked_conductances(g)
    wires = Wires(r_word, r_bit, r_source, r_sink)
    if wires.ideal or g.size == 0:
        return g.copy()
    arrays = np.ascontiguousarray(g.reshape(-1, *g.shape[-2:]))
    return _eliminated(arrays, wires).reshape(g.shape)


def effective_conductance_reference(
    g: ArrayLike, r_word: float, r_bit: float, r_source: float = 0.0, r_sink: float = 0.0
) -> np.ndarray:
    """The same by one dense nodal matrix for each array, in plain NumPy: slow, obvious, the twin that tests compare.

    Arguments, result and errors as `effective_conductance`; memory 32 · (rows · cols)² bytes.
    """
    g = checked_conductances(g)
    wires = Wires(r_word, r_bit, r_source, r_sink)
    rows, cols = g.shape[-2:]
    word, bit = word_nodes(rows, cols, wires), bit_nodes(rows, cols, wires)
    a, b, ohms = segments(rows, cols, wires)
    nodes, place = np.unique(np.concatenate([np.arange(rows + cols), word.ravel(), bit.ravel()]), return_inverse=True)
    index = dict(zip(nodes.tolist(), range(nodes.size), strict=True))
    ends = np.array([[index[x] for x in side.tolist()] for side in (a, b)], np.int64).reshape(2, -1)
    cells = place[rows + cols :].reshape(2, -1)
    out = np.empty_like(g)
    for which in np.ndindex(g.shape[:-2]):
        matrix = np.zeros((nodes.size, nodes.size))
        for (p, q), value in ((ends, 1 / ohms), (cells, g[which].ravel())):
            np.add.at(matrix, (p, p), value)
            np.add.at(matrix, (q, q), value)
            np.add.at(matrix, (p, q), -value)
            np.add.at(matrix, (q, p), -value)
        ports, inner = np.split(np.arange(nodes.size), [rows + cols])
        schur = matrix[np.ix_(ports, ports)]
        if inner.size:
            solved = np.linalg.solve(matrix[np.ix_(inner, inner)], matrix[np.ix_(inner, ports)])
            schur = schur - matrix[np.ix_(ports, inner)] @ solved
        out[which] = -schur[:rows, rows:]
    return out


def _eliminated(g: np.ndarray, wires: Wires) -> np.ndarray:
    """g_eff of contiguous g (arrays, rows, cols), at least one wire not ideal."""
    import numba

    order = wires_plan.plan(*g.shape[1:], wires_plan.Shorts(*wires.shorts()))
    with np.errstate(divide="ignore"):  # no segment of an ideal kind is ever asked for
        values = 1 / np.array([wires.r_first, wires.r_word, wires.r_bit, wires.r_last])
    out = np.empty_like(g)
    leaves = sum(group.offsets.size for group in order.leaves)
    step = max(1, _LANES_WANTED // leaves)
    starts = range(0, len(g), step)

    def work(start: int) -> None:
        _eliminate_chunk(g[start : start + step], values, order, out[start : start + step])

    threads = min(numba.get_num_threads(), len(starts))
    if threads == 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
    return out


def _eliminate_chunk(g: np.ndarray, values: np.ndarray, order: wires_plan.Plan, out: np.ndarray) -> None:
    """g_eff of some arrays at once, written to out."""
    from crossbar import wires_kernels as kernels

    leaves = np.empty((len(g), order.leaf_size))
    for group in order.leaves:
        program = group.program
        which = np.repeat(np.arange(len(g)), len(group.origins))
        kernels.leaf_conductances(
            g,
            np.column_stack([which, np.tile(group.origins, (len(g), 1))]),
            np.tile(group.offsets, len(g)) + which * order.leaf_size,
            program.cells.reshape(group.shape),
            program.wires,
            values,
            program.code,
            program.left,
            len(program.ports),
            program.slots,
            leaves.reshape(-1),
        )
    arena = np.empty(order.arena_size)
    strip, spare = kernels.workspace()
    offset, size, _, first_sink, first_driver = order.result
    for array in range(len(g)):
        last = leaves[array]
        if len(order.merges):
            kernels.merge_all(order.merges, order.maps, leaves[array], arena, strip, spare)
            last = arena[offset - order.leaf_size :]
        matrix = last[: size * size].reshape(size, size)
        out[array] = matrix[first_sink:first_driver, first_driver:].T
