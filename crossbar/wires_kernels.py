"""Compiled kernels of the wires: plain arrays and scalars in.

Nodes are eliminated by the star–mesh transformation on the conductances between nodes alone: a node with conductances
c₁ … c_d to its neighbours leaves cₐ c_b / Σc between each two of them. No sum of a row is ever stored as a diagonal, so
nothing is subtracted and every result is right to a few units in the last place times the length of the elimination,
however far apart wires and cells lie (Grassmann, Taksar and Heyman, Oper. Res. 33, 1107 (1985); O'Cinneide, Numer.
Math. 65, 109 (1993)).
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math

import numpy as np

from crossbar.wires_leaf import BIT, FIRST, WORD
from hwmodels.compiling import compiled

# A product and the sum that it goes to may be rounded once together; nothing else is reordered.
exactly = compiled(fastmath={"contract"}, nogil=True)

LANES = 8  # leaves worked on at once: one AVX-512 register, two AVX2 registers
_PANEL = 8  # nodes that one pass over two rows takes in: sixteen factors fit the registers
_BLOCK = 32  # nodes after which the rest of the matrix is read and written
_STRIP = 256  # columns of a strip: a panel of them fills half a first-level cache, a block a second-level one
_TINY = 1e-300  # a node with less conductance than this [S] touches nothing


@exactly
def load_lanes(lanes, lane, cell_g, cells, wires, first, word, bit, far):
    """Write the conductances of one leaf, cell_g (rows, cols) [S], and of its wires into a lane.

    first (rows,), word (cols,), bit (rows,), far (rows,): conductances of the segments from the drivers, before every
    column, after every row, to the second drivers [S].
    """
    for i in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            lanes[cells[i, j] * LANES + lane] = cell_g[i, j]
    for w in range(wires.shape[0]):
        lanes[wires[w, 0] * LANES + lane] = 0.0
    for w in range(wires.shape[0]):
        kind, place = wires[w, 1], wires[w, 2]
        if kind == FIRST:
            value = first[place]
        elif kind == WORD:
            value = word[place]
        else:
            value = bit[place] if kind == BIT else far[place]
        lanes[wires[w, 0] * LANES + lane] += value


@exactly
def run_program(lanes, code, total, part):
    """Eliminate the inner nodes of the leaves in all lanes. total, part (LANES,): workspace."""
    at = 0
    while at < code.size:
        degree = code[at]
        near = at + 1
        at = near + degree
        total[:] = 0.0
        for p in range(near, near + degree):
            base = code[p] * LANES
            for lane in range(LANES):
                total[lane] += lanes[base + lane]
        for lane in range(LANES):
            total[lane] = 1.0 / total[lane] if total[lane] > _TINY else 0.0
        for p in range(near, near + degree - 1):
            base = code[p] * LANES
            for lane in range(LANES):
                part[lane] = lanes[base + lane] * total[lane]
            at = join_pairs(lanes, code, at, p + 1, near + degree, part)


@exactly
def join_pairs(lanes, code, at, begin, end, part):
    """What an eliminated node leaves between one neighbour, scaled in `part`, and those of code[begin:end]."""
    for q in range(begin, end):
        other = code[q] * LANES
        slot = code[at]
        at += 1
        if slot >= 0:
            for lane in range(LANES):
                lanes[slot * LANES + lane] += part[lane] * lanes[other + lane]
        else:
            for lane in range(LANES):
                lanes[~slot * LANES + lane] = part[lane] * lanes[other + lane]
    return at


@exactly
def leaf_conductances(g, origins, offsets, cells, wires, first, word, bit, far, code, left, size, slots, out):
    """Conductances between the ports of every leaf of one program, for every array of g (arrays, rows, cols) [S].

    origins (n, 3): array, row, column of the first cell; first (arrays, rows), word (arrays, cols), bit (arrays, rows),
    far (arrays, rows): conductances of the segments from the drivers, before every column, after every row and to the
    second drivers [S];
    out: flat, a matrix of `size` × `size` from offsets[k] on, its upper triangle. The rest: `wires_plan.Program`.
    """
    lanes, total, part = np.empty(slots * LANES), np.empty(LANES), np.empty(LANES)
    count = origins.shape[0]
    height, width = cells.shape
    for begin in range(0, count, LANES):
        for lane in range(LANES):
            a, i, j = origins[min(begin + lane, count - 1)]
            bottom, right = i + height, j + width
            box = g[a, i:bottom, j:right]
            segments = first[a, i:bottom], word[a, j:right], bit[a, i:bottom], far[a, i:bottom]
            load_lanes(lanes, lane, box, cells, wires, *segments)
        run_program(lanes, code, total, part)
        for lane in range(min(LANES, count - begin)):
            matrix = out[offsets[begin + lane] : offsets[begin + lane] + size * size].reshape(size, size)
            matrix[:] = 0.0
            for s in range(left.shape[0]):
                matrix[left[s, 1], left[s, 2]] = lanes[left[s, 0] * LANES + lane]


@exactly
def add_ports(joint, matrix, gone, places):
    """Add the matrix of a child to the joint matrix; both hold their upper triangle.

    gone: leading rows of `matrix` that are eliminated already; places: where each of the others stands in `joint`.
    """
    for p in range(places.size - 1):
        row = places[p]
        for q in range(p + 1, places.size):
            column = places[q]
            if row < column:
                joint[row, column] += matrix[gone + p, gone + q]
            else:
                joint[column, row] += matrix[gone + p, gone + q]


@exactly
def eliminate_panel(c, first, last):
    """Eliminate the nodes first … last − 1 among themselves; their rows become c / √(Σ c), ready for products."""
    size = c.shape[0]
    for k in range(first, last):
        row = c[k]
        total = 0.0
        for j in range(k + 1, size):
            total += row[j]
        scale = 1.0 / math.sqrt(total) if total > _TINY else 0.0
        for j in range(k + 1, size):
            row[j] *= scale
        for i in range(k + 1, last):
            factor = row[i]
            other = c[i]
            for j in range(i + 1, size):
                other[j] += factor * row[j]


@exactly
def add_products(x, y, strip, at, n, u, v):
    """x += Σ u[k] · strip[k], y += Σ v[k] · strip[k] over n columns of a packed strip, from its column `at` on."""
    u0, u1, u2, u3, u4, u5, u6, u7 = u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7]
    v0, v1, v2, v3, v4, v5, v6, v7 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
    p = strip[at:]
    for j in range(n):
        a0, a1, a2, a3 = p[j], p[_STRIP + j], p[2 * _STRIP + j], p[3 * _STRIP + j]
        a4, a5, a6, a7 = p[4 * _STRIP + j], p[5 * _STRIP + j], p[6 * _STRIP + j], p[7 * _STRIP + j]
        s, t = x[j], y[j]
        s += u0 * a0
        s += u1 * a1
        s += u2 * a2
        s += u3 * a3
        s += u4 * a4
        s += u5 * a5
        s += u6 * a6
        s += u7 * a7
        t += v0 * a0
        t += v1 * a1
        t += v2 * a2
        t += v3 * a3
        t += v4 * a4
        t += v5 * a5
        t += v6 * a6
        t += v7 * a7
        x[j] = s
        y[j] = t


@exactly
def pack(c, first, last, j0, j1, strip):
    """Rows first … last − 1, columns j0 … j1 − 1 of c side by side, rows of 0 up to a whole number of panels."""
    depth = last - first
    for k in range((depth + _PANEL - 1) // _PANEL * _PANEL):
        for j in range(j1 - j0):
            strip[k * _STRIP + j] = c[first + k, j0 + j] if k < depth else 0.0


@exactly
def update_rows(c, begin, end, from_column, first, last, strip, j0, j1, spare):
    """Rows begin … end − 1, columns j0 … j1 − 1 gain what the nodes first … last − 1 leave, above the diagonal.

    strip: those nodes' rows, packed; from_column: no column before this one is wanted; spare: a row to be overwritten.
    """
    u, v = np.zeros(_PANEL), np.zeros(_PANEL)
    for i in range(begin, end, 2):
        second = i + 1 < end
        # Two rows share what is read; the element between the diagonals of the two is the upper row's alone.
        start = max(j0, i + 2 if second else i + 1, from_column)
        if second and max(j0, from_column) <= i + 1 < j1:
            for k in range(first, last):
                c[i, i + 1] += c[k, i] * c[k, i + 1]
        if start >= j1:
            continue
        below = c[i + 1, start:j1] if second else spare
        for panel in range(first, last, _PANEL):
            for k in range(_PANEL):
                u[k] = c[panel + k, i] if panel + k < last else 0.0
                v[k] = c[panel + k, i + 1] if second and panel + k < last else 0.0
            add_products(c[i, start:j1], below, strip, (panel - first) * _STRIP + start - j0, j1 - start, u, v)


@exactly
def eliminate(c, gone, first_sink, first_driver, strip, spare):
    """Eliminate the first `gone` nodes of the conductance matrix c, of which only the upper triangle counts.

    The nodes left are word and bit nodes up to first_sink, sinks up to first_driver, then drivers. Neither two sinks
    nor two drivers need the conductance between them, as none of them is ever eliminated. strip, spare: workspace.
    """
    size = c.shape[0]
    for begin in range(0, gone, _BLOCK):
        end = min(begin + _BLOCK, gone)
        for first in range(begin, end, _PANEL):
            last = min(first + _PANEL, end)
            eliminate_panel(c, first, last)
            for j0 in range(last, size if last < end else 0, _STRIP):
                j1 = min(j0 + _STRIP, size)
                pack(c, first, last, j0, j1, strip)
                update_rows(c, last, end, last, first, last, strip, j0, j1, spare)
        for j0 in range(end, size, _STRIP):
            j1 = min(j0 + _STRIP, size)
            pack(c, begin, end, j0, j1, strip)
            update_rows(c, end, min(first_sink, j1), end, begin, end, strip, j0, j1, spare)
            update_rows(c, first_sink, first_driver, first_driver, begin, end, strip, j0, j1, spare)


@exactly
def merge_all(merges, maps, leaves, arena, strip, spare):
    """All merges of one array (see `wires_plan.Plan`). leaves, arena: flat buffers; the result is left in the arena."""
    for n in range(merges.shape[0]):
        offset, size, gone, first_sink, first_driver = merges[n, :5]
        joint = arena[offset - leaves.size : offset - leaves.size + size * size].reshape(size, size)
        for i in range(size):
            joint[i, i:] = 0.0
        for child in range(2):
            at, ports, before, start = merges[n, 5 + 4 * child : 9 + 4 * child]
            if at < leaves.size:
                matrix = leaves[at : at + ports * ports].reshape(ports, ports)
            else:
                matrix = arena[at - leaves.size : at - leaves.size + ports * ports].reshape(ports, ports)
            add_ports(joint, matrix, before, maps[start : start + ports - before])
        eliminate(joint, gone, first_sink, first_driver, strip, spare)


def workspace() -> tuple[np.ndarray, np.ndarray]:
    """Strip and spare row for `merge_all`, one pair for each thread."""
    return np.zeros(_BLOCK * _STRIP), np.zeros(_STRIP)


@exactly
def release(ports, floating, sinks, strip, spare):
    """Disconnect the drivers of floating word lines that are one node with them: eliminated like any other node.

    ports: conductances (n, n) between all ports, upper triangle, sinks before drivers, and floating (n − sinks,) the
    mask of drivers. Returns the conductances (rows, sinks) of all drivers to the sinks, 0 for the floating ones.
    """
    n = ports.shape[0]
    place = np.empty(n, np.int64)
    gone = floating.sum()
    before, after = 0, gone + sinks
    for k in range(n):
        if k < sinks:
            place[k] = gone + k
        elif floating[k - sinks]:
            place[k] = before
            before += 1
        else:
            place[k] = after
            after += 1
    joint = np.zeros((n, n))
    add_ports(joint, ports, 0, place)
    eliminate(joint, gone, gone, gone + sinks, strip, spare)
    out = np.zeros((n - sinks, sinks))
    for k in range(n - sinks):
        if not floating[k]:
            for j in range(sinks):
                out[k, j] = joint[gone + j, place[sinks + k]]
    return out
