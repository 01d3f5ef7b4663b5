"""In which order the nodes of an array are eliminated: leaves of a few cells, then blocks joined two by two.

A block is a rectangle of cells with the wire segment left of each and the one below each. What the rest of the array
can see of it is a matrix of conductances between its ports: the word nodes at its left and right edge, the bit nodes
at its top and bottom edge. Two neighbours are joined by adding their matrices and eliminating the nodes that nothing
else touches any more; at the end only drivers and sinks are left (nested dissection: George, SIAM J. Numer. Anal. 10,
345 (1973)). Everything here depends on the shape and on which wires are ideal, not on conductances, and is computed
once for each shape.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from crossbar.circuit import Topology
from crossbar.wires_leaf import Edges, Program, leaf_program

LEAF = 8
"""A leaf has at most this many rows and columns; as fast as half of it, with a quarter of the joins to plan."""


@dataclass(frozen=True)
class Leaves:
    """All leaves of an array that share a program.

    origins (n, 2): row and column of the first cell; offsets (n,): where the matrix of a leaf starts in the buffer of
    the leaves.
    """

    program: Program
    shape: tuple[int, int]
    origins: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The whole elimination of arrays of one shape.

    merges (n, 13), children before parents: offset, size, eliminated, first sink, first driver of the joint matrix,
    then for each child offset, size, its eliminated, start of its map. An offset below `leaf_size` lies in the buffer
    of the leaves, any other, less leaf_size, in the arena. maps: the place of each remaining port of a child in the
    joint matrix. leaf_size, arena_size: elements of the two buffers. result: the first five numbers of the last matrix.
    every: whether that also holds what lies between two sinks and between two drivers.
    """

    leaves: tuple[Leaves, ...]
    merges: np.ndarray
    maps: np.ndarray
    leaf_size: int
    arena_size: int
    result: tuple[int, int, int, int, int]
    every: bool


Box = tuple[int, int, int, int]
"""A rectangle of cells: top, bottom, left, right, the far ends excluded."""


@dataclass(frozen=True)
class _Block:
    """A block while the plan is made, and where its matrix stands: offset, size, rows of it eliminated already."""

    box: Box
    offset: int
    size: int
    eliminated: int


@dataclass(frozen=True)
class _Array:
    """The nodes of an array by number: word nodes, then bit nodes, then sinks, then drivers."""

    rows: int
    cols: int
    joined: Topology

    @property
    def terminals(self) -> int:
        """Number of the first sink."""
        return 2 * self.rows * self.cols

    def edges(self, box: Box) -> Edges:
        """Which edges of the array a box touches."""
        top, bottom, left, right = box
        return Edges(left=left == 0, right=right == self.cols, top=top == 0, bottom=bottom == self.rows)

    def _words(self, rows: np.ndarray, column: int) -> np.ndarray:
        """Word nodes of a column; column −1: the drivers."""
        column = 0 if self.joined.word and column > 0 else column
        if column < 0 or (column == 0 and self.joined.first):
            return self.terminals + self.cols + rows
        return rows * self.cols + column

    def _bits(self, row: int, cols: np.ndarray) -> np.ndarray:
        """Bit nodes of a row; row `rows`: the sinks."""
        last = self.rows - 1
        row = last if self.joined.bit and row < last else row
        if row > last or (row == last and self.joined.last):
            return self.terminals + cols
        return (self.rows + row) * self.cols + cols

    def ports(self, box: Box) -> np.ndarray:
        """Nodes of a block that something outside touches, ascending."""
        top, bottom, left, right = box
        rows, cols = np.arange(top, bottom), np.arange(left, right)
        words = [self._words(rows, left - 1), self._words(rows, right - 1)]
        if self.joined.far and right == self.cols:
            words.append(self._words(rows, -1))
        nodes = np.unique(np.concatenate([*words, self._bits(top, cols), self._bits(bottom, cols)]))
        return nodes[~self.inside(nodes, box)]

    def inside(self, nodes: np.ndarray, box: Box) -> np.ndarray:
        """Which nodes nothing outside the box touches; sinks and drivers always have an outside."""
        top, bottom, left, right = box
        edges = self.edges(box)
        half = self.rows * self.cols
        i, j = np.divmod(nodes % half, self.cols)
        if self.joined.word:
            word = np.full(nodes.shape, edges.left and edges.right)
        else:
            word = (j >= left) & ((j + 1 < right) | edges.right)
        if self.joined.bit:
            bit = np.full(nodes.shape, edges.top and edges.bottom)
        else:
            bit = (i < bottom) & ((i > top) | edges.top)
        return np.where(nodes < half, word, bit) & (nodes < self.terminals)


def _cuts(size: int, leaf: int) -> list[int]:
    """Edges of 2ᵖ parts of nearly equal length, none longer than a leaf."""
    parts = 1
    while -(-size // parts) > leaf:
        parts *= 2
    return [size * k // parts for k in range(parts + 1)]


def _plan_leaves(array: _Array, leaf: int) -> tuple[tuple[Leaves, ...], list[list[_Block]], int]:
    """Leaves by program, their blocks as a grid, and the size of their buffer."""
    rows, cols, joined = array.rows, array.cols, array.joined
    row_cuts, col_cuts = _cuts(rows, leaf), _cuts(cols, leaf)
    groups: dict[tuple[int, int, Edges], list[_Block]] = defaultdict(list)
    grid: list[list[_Block]] = []
    offset = 0
    for top, bottom in pairwise(row_cuts):
        grid.append([])
        for left, right in pairwise(col_cuts):
            box = (top, bottom, left, right)
            key = (bottom - top, right - left, array.edges(box))
            ports = len(leaf_program(*key, joined).ports)
            block = _Block(box, offset, ports, 0)
            offset += ports**2
            grid[-1].append(block)
            groups[key].append(block)
    leaves = tuple(
        Leaves(
            program=leaf_program(height, width, edges, joined),
            shape=(height, width),
            origins=np.array([[b.box[0], b.box[2]] for b in blocks], np.int64),
            offsets=np.array([b.offset for b in blocks], np.int64),
        )
        for (height, width, edges), blocks in groups.items()
    )
    return leaves, grid, offset


@dataclass(frozen=True)
class _Join:
    """How two neighbours are joined: size, eliminated, first sink, first driver, and the maps of their ports."""

    layout: tuple[int, int, int, int]
    maps: tuple[np.ndarray, np.ndarray]


def _join(array: _Array, a: Box, b: Box, box: Box) -> _Join:
    """Join the boxes a and b to one: what is eliminated stands first, then word and bit nodes, sinks, drivers."""
    ports = [array.ports(a), array.ports(b)]
    nodes = np.union1d(*ports)
    gone = array.inside(nodes, box)
    place = np.empty(nodes.size, np.int64)
    place[np.concatenate([np.flatnonzero(gone), np.flatnonzero(~gone)])] = np.arange(nodes.size)
    first_sink = int((nodes < array.terminals).sum())
    first_driver = int((nodes < array.terminals + array.cols).sum())
    layout = (nodes.size, int(gone.sum()), first_sink, first_driver)
    return _Join(layout, (place[np.searchsorted(nodes, ports[0])], place[np.searchsorted(nodes, ports[1])]))


class _Arena:
    """Room for matrices in one buffer: first fit, so that a matrix comes to lie where the last ones were read."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []
        self.size = 0

    def take(self, size: int) -> int:
        """Offset of `size` free elements."""
        for k, (start, end) in enumerate(self.free):
            if end - start >= size:
                self.free[k : k + 1] = [(start + size, end)] if end - start > size else []
                return start
        start = self.free.pop()[0] if self.free and self.free[-1][1] == self.size else self.size
        self.size = start + size
        return start

    def give_back(self, start: int, size: int) -> None:
        """Free again what `take` gave."""
        merged: list[tuple[int, int]] = []
        for a, b in sorted([*self.free, (start, start + size)]):
            if merged and merged[-1][1] == a:
                merged[-1] = (merged[-1][0], b)
            else:
                merged.append((a, b))
        self.free = merged


class _Merges:
    """The merge table, filled depth first: what is joined next was made last and is still in the cache."""

    def __init__(self, array: _Array, grid: list[list[_Block]], leaf_size: int) -> None:
        self.array, self.grid, self.leaf_size = array, grid, leaf_size
        self.arena = _Arena()
        self.table: list[list[int]] = []
        self.maps: list[np.ndarray] = []
        self.joins: dict[tuple[tuple[int, ...], bool, Edges], tuple[int, _Join]] = {}

    def block(self, i0: int, i1: int, j0: int, j1: int) -> _Block:
        """The block of leaves i0 … i1 − 1 by j0 … j1 − 1, cut across its longer side."""
        if i1 - i0 == 1 and j1 - j0 == 1:
            return self.grid[i0][j0]
        top, left = self.grid[i0][j0].box[0], self.grid[i0][j0].box[2]
        bottom, right = self.grid[i1 - 1][j1 - 1].box[1], self.grid[i1 - 1][j1 - 1].box[3]
        if j1 - j0 == 1 or (i1 - i0 > 1 and bottom - top >= right - left):
            middle = (i0 + i1) // 2
            return self._joined(self.block(i0, middle, j0, j1), self.block(middle, i1, j0, j1))
        middle = (j0 + j1) // 2
        return self._joined(self.block(i0, i1, j0, middle), self.block(i0, i1, middle, j1))

    def _joined(self, a: _Block, b: _Block) -> _Block:
        box = (a.box[0], b.box[1], a.box[2], b.box[3])
        start, join = self._known_join(a.box, b.box, box)
        size, eliminated, *_ = join.layout
        offset = self.leaf_size + self.arena.take(size**2)
        row = [offset, *join.layout]
        for child, places in zip((a, b), join.maps, strict=True):
            row += [child.offset, child.size, child.eliminated, start]
            start += places.size
            if child.offset >= self.leaf_size:
                self.arena.give_back(child.offset - self.leaf_size, child.size**2)
        self.table.append(row)
        return _Block(box, offset, size, eliminated)

    def _known_join(self, a: Box, b: Box, box: Box) -> tuple[int, _Join]:
        """The join of two boxes and where its maps start; only sizes and edges matter, so most are known already."""
        sizes = (a[1] - a[0], a[3] - a[2], b[1] - b[0], b[3] - b[2])
        key = (sizes, a[0] == b[0], self.array.edges(box))
        if key not in self.joins:
            join = _join(self.array, a, b, box)
            self.joins[key] = (sum(m.size for m in self.maps), join)
            self.maps += join.maps
        return self.joins[key]


@lru_cache(maxsize=256)
def plan(rows: int, cols: int, joined: Topology, leaf: int = LEAF, *, every: bool = False) -> Plan:
    """The elimination of arrays of rows × cols cells.

    leaf: largest side of a leaf [cells]. every: also what lies between two sinks and between two drivers is wanted.
    """
    array = _Array(rows, cols, joined)
    leaves, grid, leaf_size = _plan_leaves(array, leaf)
    merges = _Merges(array, grid, leaf_size)
    merges.block(0, len(grid), 0, len(grid[0]))
    ports = leaves[0].program.ports  # of the whole array where it is one leaf
    first = [0, len(ports), 0, sum(n[0] in "WB" for n in ports), sum(n[0] != "D" for n in ports)]
    offset, size, eliminated, first_sink, first_driver = (merges.table[-1] if merges.table else first)[:5]
    table = np.array(merges.table, np.int64).reshape(-1, 13)
    if every:
        table[:, 3:5] = table[:, 1:2]  # the kernel leaves out pairs among what it takes for sinks and drivers
    return Plan(
        leaves=leaves,
        merges=table,
        maps=np.concatenate([np.empty(0, np.int64), *merges.maps]),
        leaf_size=leaf_size,
        arena_size=merges.arena.size,
        result=(offset, size, eliminated, first_sink, first_driver),
        every=every,
    )
