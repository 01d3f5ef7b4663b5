"""IR drop: what the wires of an array leave of its conductances, exactly.

An array of linear cells and wires is one linear circuit, so its bit-line currents are v @ g_eff with a matrix g_eff
[S] of the same shape as g. It is the conductance between every driver and every read-out once all nodes in between are
eliminated; see `circuit` for the circuit, `wires_plan` for the order, `wires_kernels` for the arithmetic.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike

from crossbar import wires_plan
from crossbar.circuit import PLAIN, Circuit, Wires, Wiring, circuit
from crossbar.circuit_input import checked_conductances
from crossbar.circuit_nodes import bit_nodes, segments, word_nodes

_LANES_WANTED = 64
"""Leaves that are worth working on together: small arrays are taken in chunks of as many as give this many leaves."""


def effective_conductance(
    g: ArrayLike, r_word: float, r_bit: float, r_source: float = 0.0, r_sink: float = 0.0, *, wiring: Wiring = PLAIN
) -> np.ndarray:
    """Conductances g_eff [S] such that the bit-line currents of arrays with wires are v @ g_eff [A], exactly.

    g: cell conductances [S], shape (…, rows, cols), finite and ≥ 0 (0 S: open crossing). r_word, r_bit: resistance of
    the wire segment before every cell of a word line and after every cell of a bit line [Ω]; r_source, r_sink: in
    series with every driver and every read-out [Ω]. Each is finite and ≥ 0, and 0 is an ideal wire, exactly. wiring:
    access transistors, second drivers, and word lines that are not driven, the same for all arrays; the rows of g_eff
    of word lines that are not driven are 0.
    Returns float64 of the shape of g; all wires ideal returns a copy of g.

    All inputs at once by nested dissection, O(n³) for n × n cells. Each entry is right to about 1e-14 of itself,
    whatever the ratios of the resistances: nothing is subtracted on the way. Rows and columns whose cells are all open
    cost nothing (but for what rounds their number up to whole leaves). Arrays of a batch are independent and spread
    over numba's threads. Raises UserError for anything that is not a conductance or a wire resistance.
    """
    g = checked_conductances(g)
    lines = circuit(g.shape[-2], g.shape[-1], Wires(r_word, r_bit, r_source, r_sink), wiring)
    cells = lines.cells(g)
    if not (lines.ideal and not lines.floating.any()) and g.size:
        arrays = np.ascontiguousarray(cells.reshape(-1, *g.shape[-2:]))
        cells = _eliminated(arrays, lines).reshape(g.shape)
    cells[..., ~lines.driven, :] = 0.0
    return cells


def effective_conductance_reference(
    g: ArrayLike, r_word: float, r_bit: float, r_source: float = 0.0, r_sink: float = 0.0, *, wiring: Wiring = PLAIN
) -> np.ndarray:
    """The same by one dense nodal matrix for each array, in plain NumPy: slow, obvious, the twin that tests compare.

    Arguments, result and errors as `effective_conductance`; memory 32 · (rows · cols)² bytes.
    """
    g = checked_conductances(g)
    rows, cols = g.shape[-2:]
    whole = circuit(rows, cols, Wires(r_word, r_bit, r_source, r_sink), wiring)
    g = whole.cells(g)
    out = np.empty_like(g)
    for which in np.ndindex(g.shape[:-2]):
        out[which] = _dense(g[which], whole.settled(g[which]))
    out[..., ~whole.driven, :] = 0.0
    return out


def _dense(g: np.ndarray, lines: Circuit) -> np.ndarray:
    """Conductances between drivers and sinks of one array by the Schur complement of its nodal matrix."""
    rows, cols = g.shape
    word, bit = word_nodes(lines), bit_nodes(lines)
    a, b, ohms = segments(lines)
    nodes, place = np.unique(np.concatenate([np.arange(rows + cols), word.ravel(), bit.ravel()]), return_inverse=True)
    ends = np.searchsorted(nodes, np.stack([a, b]))
    cells = place[rows + cols :].reshape(2, -1)
    matrix = np.zeros((nodes.size, nodes.size))
    for (p, q), value in ((ends, 1 / ohms), (cells, g.ravel())):
        np.add.at(matrix, (p, p), value)
        np.add.at(matrix, (q, q), value)
        np.add.at(matrix, (p, q), -value)
        np.add.at(matrix, (q, p), -value)
    ports, inner = np.split(np.arange(nodes.size), [rows + cols])
    schur = matrix[np.ix_(ports, ports)]
    if inner.size:
        schur = schur - matrix[np.ix_(ports, inner)] @ np.linalg.solve(
            matrix[np.ix_(inner, inner)], matrix[np.ix_(inner, ports)]
        )
    return -schur[:rows, rows:]


def _eliminated(g: np.ndarray, lines: Circuit) -> np.ndarray:
    """g_eff of contiguous g (arrays, rows, cols); rows and columns without a closed cell are left out."""
    kept = [(_worth(closed.any(axis=1)), _worth(closed.any(axis=0))) for closed in g != 0]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for array, (rows, cols) in enumerate(kept):
        groups[rows.size, cols.size].append(array)
    if list(groups) == [g.shape[1:]]:
        return _eliminated_alike(g, [lines] * len(g))
    out = np.zeros_like(g)
    for (rows, cols), members in groups.items():
        if rows and cols:
            small = np.stack([g[array][np.ix_(*kept[array])] for array in members])
            found = _eliminated_alike(small, [lines.cut(*kept[array]) for array in members])
            for array, result in zip(members, found, strict=True):
                out[array][np.ix_(*kept[array])] = result
    return out


def _worth(used: np.ndarray) -> np.ndarray:
    """Indices of the lines that are kept: all in use, and as many others as make whole leaves.

    So the shapes that have to be planned are few.
    """
    wanted = int(used.sum())
    wanted = min(-(-wanted // wires_plan.LEAF) * wires_plan.LEAF, used.size)
    return np.sort(np.argsort(~used, kind="stable")[:wanted])


def _eliminated_alike(g: np.ndarray, lines: list[Circuit]) -> np.ndarray:
    """g_eff of contiguous g (arrays, rows, cols), each array with wires of its own but of the same topology."""
    import numba

    joined = lines[0].topology()
    # A floating word line that is one node with its driver takes the driver along, after everything else.
    every = joined.first and bool(np.any([c.floating for c in lines]))
    order = wires_plan.plan(*g.shape[1:], joined, every=every)
    out = np.empty_like(g)
    leaves = sum(group.offsets.size for group in order.leaves)
    step = max(1, _LANES_WANTED // leaves)
    starts = range(0, len(g), step)

    def work(start: int) -> None:
        _eliminate_chunk(g[start : start + step], lines[start : start + step], order, out[start : start + step])

    threads = min(numba.get_num_threads(), len(starts))
    if threads == 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
    return out


def _eliminate_chunk(g: np.ndarray, lines: list[Circuit], order: wires_plan.Plan, out: np.ndarray) -> None:
    """g_eff of some arrays at once, written to out."""
    from crossbar import wires_kernels as kernels

    with np.errstate(divide="ignore"):  # no ideal segment is ever asked for
        word, bit = 1 / np.stack([c.word for c in lines]), 1 / np.stack([c.bit for c in lines])
    tied = ~np.stack([c.floating for c in lines])
    first, far = np.where(tied, word[:, :1], 0.0), np.where(tied, 1 / np.array([[c.far] for c in lines]), 0.0)
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
            first,
            word,
            bit,
            far,
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
        if order.every:
            ports = matrix[first_sink:, first_sink:]
            out[array] = kernels.release(ports, lines[array].floating, first_driver - first_sink, strip, spare)
        else:
            out[array] = matrix[first_sink:first_driver, first_driver:].T
