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

import numpy as np

LEAF = 8
"""A leaf has at most this many rows and columns; measured best from 4 to 12."""

FIRST, WORD, BIT, LAST = range(4)
"""Kinds of wire segment: driver to row, within a row, within a column, column to sink."""

Label = tuple[str, int, int]
"""A node of a leaf: ("D" driver | "W" word node | "B" bit node | "S" sink, row, column), both within the leaf."""


@dataclass(frozen=True)
class Shorts:
    """Which wires are ideal: segments of the word lines, of the bit lines, driver to row, column to sink."""

    word: bool
    bit: bool
    first: bool
    last: bool


@dataclass(frozen=True)
class Edges:
    """Which edges of the array a block touches."""

    left: bool
    right: bool
    top: bool
    bottom: bool


@dataclass(frozen=True)
class Program:
    """The elimination of one kind of leaf, for a kernel that works on several leaves at once.

    slots: conductances held at the same time. cells: slot of each cell, row by row. wires (n, 2): slot, kind.
    code: per eliminated node the count d of its neighbours, the d slots to them, then for every pair of neighbours the
    slot that gains (~slot where it holds nothing yet). ports: the nodes left, in the order word and bit nodes, sinks,
    drivers. left (n, 3): slot and the two ports that it joins, the first before the second.
    """

    slots: int
    cells: np.ndarray
    wires: np.ndarray
    code: np.ndarray
    ports: tuple[Label, ...]
    left: np.ndarray


class _Leaf:
    """Nodes and wires of a leaf of `height` × `width` cells."""

    def __init__(self, height: int, width: int, edges: Edges, shorts: Shorts) -> None:
        self.height, self.width, self.edges, self.shorts = height, width, edges, shorts

    def word(self, row: int, column: int) -> Label:
        """The word node of a cell; column −1 is the node that the leaf's first segment comes from."""
        if column < 0 and self.edges.left:
            return ("D", row, 0)
        column = 0 if self.shorts.word else column
        if self.shorts.first and (self.shorts.word or (self.edges.left and column == 0)):
            return ("D", row, 0)
        return ("W", row, column)

    def bit(self, row: int, column: int) -> Label:
        """The bit node of a cell; row `height` is the node that the leaf's last segment leads to."""
        if row == self.height and self.edges.bottom:
            return ("S", 0, column)
        at_end = self.shorts.bit or (self.edges.bottom and row == self.height - 1)
        if self.shorts.last and at_end:
            return ("S", 0, column)
        return ("B", 0 if self.shorts.bit else row, column)

    def inside(self, node: Label) -> bool:
        """Whether nothing outside the leaf touches the node."""
        kind, row, column = node
        edges = self.edges
        if kind == "W":
            if self.shorts.word:
                return edges.left and edges.right
            return column >= 0 and (column + 1 < self.width or edges.right)
        if kind == "B":
            if self.shorts.bit:
                return edges.top and edges.bottom
            return row < self.height and (row > 0 or edges.top)
        return False

    def wires(self) -> list[tuple[Label, Label, int]]:
        """The segments that have a resistance: both nodes and the kind."""
        cells = [(row, column) for row in range(self.height) for column in range(self.width)]
        found = []
        for row, column in cells:
            kind = FIRST if self.edges.left and column == 0 else WORD
            found.append((self.word(row, column - 1), self.word(row, column), kind))
            kind = LAST if self.edges.bottom and row == self.height - 1 else BIT
            found.append((self.bit(row, column), self.bit(row + 1, column), kind))
        return [(a, b, kind) for a, b, kind in found if a != b]


class _Slots:
    """Numbers for conductances between two nodes, given back when a node is eliminated."""

    def __init__(self) -> None:
        self.of: dict[Label, dict[Label, int]] = defaultdict(dict)
        self.free: list[int] = []
        self.count = 0

    def join(self, a: Label, b: Label) -> tuple[int, bool]:
        """Slot between two nodes, and whether it is new."""
        if b in self.of[a]:
            return self.of[a][b], False
        if not self.free:
            self.free.append(self.count)
            self.count += 1
        self.of[a][b] = self.of[b][a] = slot = self.free.pop()
        return slot, True

    def eliminate(self, node: Label) -> list[int]:
        """Code of one elimination; the slots of the node are free afterwards."""
        near = list(self.of.pop(node).items())
        code = [len(near), *(slot for _, slot in near)]
        for i, (a, _) in enumerate(near):
            del self.of[a][node]
            for b, _ in near[i + 1 :]:
                slot, new = self.join(a, b)
                code.append(~slot if new else slot)
        self.free += [slot for _, slot in near]
        return code


@lru_cache(maxsize=512)
def leaf_program(height: int, width: int, edges: Edges, shorts: Shorts) -> Program:
    """The elimination of a leaf, the node with the fewest neighbours first."""
    leaf, slots = _Leaf(height, width, edges, shorts), _Slots()
    cells = [slots.join(leaf.word(i, j), leaf.bit(i, j))[0] for i in range(height) for j in range(width)]
    wires = [(slots.join(a, b)[0], kind) for a, b, kind in leaf.wires()]
    inside = {node for node in slots.of if leaf.inside(node)}
    code: list[int] = []
    while inside:
        node = min(inside, key=lambda n: (len(slots.of[n]), n))
        inside.remove(node)
        code += slots.eliminate(node)
    ports = sorted(slots.of, key=lambda n: ("WBSD".index(n[0]) // 2 + (n[0] == "D"), n))
    place = {node: i for i, node in enumerate(ports)}
    left = [(slot, place[a], place[b]) for a in ports for b, slot in slots.of[a].items() if place[a] < place[b]]
    return Program(
        slots=slots.count,
        cells=np.array(cells, np.int64),
        wires=np.array(wires, np.int64).reshape(-1, 2),
        code=np.array(code, np.int64),
        ports=tuple(ports),
        left=np.array(left, np.int64).reshape(-1, 3),
    )


@dataclass(frozen=True)
class Leaves:
    """All leaves of an array that share a program.

    origins (n, 2): row and column of the first cell; at_edge (n, 2): left edge, bottom edge; offsets (n,): where the
    matrix of a leaf starts in the buffer of the leaves.
    """

    program: Program
    shape: tuple[int, int]
    origins: np.ndarray
    at_edge: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The whole elimination of arrays of one shape.

    levels: per level (merges (n, 12), map of ports int64); a merge is a row
    (offset, size, eliminated, first sink, first driver, then for each child offset, size, its eliminated, start of its
    map; the map gives the place of each remaining port of the child in the joint matrix).
    sizes: elements of the buffer of the leaves and of each level.
    result: offset, size, eliminated, first sink, first driver of the last matrix.
    """

    leaves: tuple[Leaves, ...]
    levels: tuple[tuple[np.ndarray, np.ndarray], ...]
    sizes: tuple[int, ...]
    result: tuple[int, int, int, int, int]


@dataclass
class _Block:
    """A block while the plan is made: its rectangle, its ports by global number, and where its matrix stands."""

    box: tuple[int, int, int, int]
    ports: np.ndarray
    offset: int
    size: int
    eliminated: int


@dataclass(frozen=True)
class _Array:
    """Global node numbers of an array: word nodes, then bit nodes, then sinks, then drivers."""

    rows: int
    cols: int
    shorts: Shorts

    def number(self, node: Label, origin: tuple[int, int]) -> int:
        """The global number of a node of a leaf."""
        kind, row, column = node
        i, j = origin[0] + row, origin[1] + column
        cells = self.rows * self.cols
        if kind == "W":
            return i * self.cols + (0 if self.shorts.word else j)
        if kind == "B":
            return cells + (0 if self.shorts.bit else i) * self.cols + j
        return 2 * cells + j if kind == "S" else 2 * cells + self.cols + i

    def inside(self, nodes: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        """Which nodes nothing outside the box touches; sinks and drivers always have an outside."""
        top, bottom, left, right = box
        cells = self.rows * self.cols
        i, j = np.divmod(nodes % cells, self.cols)
        if self.shorts.word:
            word = np.full(nodes.shape, left == 0 and right == self.cols)
        else:
            word = (j >= left) & ((j + 1 < right) | (right == self.cols))
        if self.shorts.bit:
            bit = np.full(nodes.shape, top == 0 and bottom == self.rows)
        else:
            bit = (i < bottom) & ((i > top) | (top == 0))
        return np.where(nodes < cells, word, bit) & (nodes < 2 * cells)


def _cuts(size: int, leaf: int) -> list[int]:
    """Edges of 2ᵖ parts of nearly equal length, none longer than a leaf."""
    parts = 1
    while -(-size // parts) > leaf:
        parts *= 2
    return [size * k // parts for k in range(parts + 1)]


def _edges(box: tuple[int, int, int, int], rows: int, cols: int, shorts: Shorts) -> Edges:
    """Edges of the array that matter to the program of a leaf: without ideal wires only values differ at the left
    and at the bottom, but the far ends of the wires still tell drivers and sinks from inner nodes.
    """
    top, bottom, left, right = box
    return Edges(left=left == 0, right=right == cols, top=top == 0, bottom=bottom == rows)


def _plan_leaves(array: _Array, leaf: int) -> tuple[tuple[Leaves, ...], list[list[_Block]], int]:
    """Leaves by program, their blocks as a grid, and the size of their buffer."""
    rows, cols, shorts = array.rows, array.cols, array.shorts
    row_cuts, col_cuts = _cuts(rows, leaf), _cuts(cols, leaf)
    groups: dict[tuple[int, int, Edges], list[_Block]] = defaultdict(list)
    grid: list[list[_Block]] = []
    offset = 0
    for top, bottom in zip(row_cuts, row_cuts[1:], strict=False):
        grid.append([])
        for left, right in zip(col_cuts, col_cuts[1:], strict=False):
            box = (top, bottom, left, right)
            key = (bottom - top, right - left, _edges(box, rows, cols, shorts))
            program = leaf_program(*key, shorts)
            ports = np.array([array.number(node, (top, left)) for node in program.ports], np.int64)
            block = _Block(box, ports, offset, len(ports), 0)
            offset += len(ports) ** 2
            grid[-1].append(block)
            groups[key].append(block)
    leaves = tuple(
        Leaves(
            program=leaf_program(height, width, edges, shorts),
            shape=(height, width),
            origins=np.array([[b.box[0], b.box[2]] for b in blocks], np.int64),
            at_edge=np.array([[b.box[2] == 0, b.box[1] == rows] for b in blocks]),
            offsets=np.array([b.offset for b in blocks], np.int64),
        )
        for (height, width, edges), blocks in groups.items()
    )
    return leaves, grid, offset


def _join(array: _Array, a: _Block, b: _Block, offset: int) -> tuple[_Block, list[int], list[np.ndarray]]:
    """The block of two neighbours: itself, its row of the merge table (map starts still missing), the two maps."""
    box = (min(a.box[0], b.box[0]), max(a.box[1], b.box[1]), min(a.box[2], b.box[2]), max(a.box[3], b.box[3]))
    nodes = np.union1d(a.ports, b.ports)  # sorted: word and bit nodes, sinks, drivers
    gone = array.inside(nodes, box)
    order = np.concatenate([nodes[gone], nodes[~gone]])
    place = np.empty(order.size, np.int64)
    place[np.concatenate([np.flatnonzero(gone), np.flatnonzero(~gone)])] = np.arange(order.size)
    maps = [place[np.searchsorted(nodes, child.ports)] for child in (a, b)]
    eliminated = int(gone.sum())
    first_sink = int((nodes < 2 * array.rows * array.cols).sum())
    first_driver = int((nodes < 2 * array.rows * array.cols + array.cols).sum())
    block = _Block(box, order[eliminated:], offset, order.size, eliminated)
    return block, [offset, order.size, eliminated, first_sink, first_driver], maps


def _plan_level(array: _Array, pairs: list[tuple[_Block, _Block]]) -> tuple[list[_Block], np.ndarray, np.ndarray, int]:
    """One level of merges: the blocks, the merge table, the maps, and the size of its buffer."""
    offset, start = 0, 0
    blocks, table, maps = [], [], []
    for a, b in pairs:
        block, row, both = _join(array, a, b, offset)
        for child, places in zip((a, b), both, strict=True):
            row += [child.offset, child.size, child.eliminated, start]
            start += places.size
            maps.append(places)
        offset += block.size**2
        blocks.append(block)
        table.append(row)
    return blocks, np.array(table, np.int64), np.concatenate(maps), offset


@lru_cache(maxsize=32)
def plan(rows: int, cols: int, shorts: Shorts, leaf: int = LEAF) -> Plan:
    """The elimination of arrays of rows × cols cells. leaf: largest side of a leaf [cells]."""
    array = _Array(rows, cols, shorts)
    leaves, grid, size = _plan_leaves(array, leaf)
    sizes, levels = [size], []
    first = leaves[0].program.ports  # of the whole array where it is one leaf
    sinks, drivers = sum(n[0] in "WB" for n in first), sum(n[0] != "D" for n in first)
    result = (0, len(first), 0, sinks, drivers)
    while len(grid) > 1 or len(grid[0]) > 1:
        top, bottom, left, right = grid[0][0].box
        across = len(grid) == 1 or (len(grid[0]) > 1 and right - left <= bottom - top)
        if across:
            pairs = [pair for line in grid for pair in zip(line[::2], line[1::2], strict=True)]
            width = len(grid[0]) // 2
        else:
            pairs = [pair for a, b in zip(grid[::2], grid[1::2], strict=True) for pair in zip(a, b, strict=True)]
            width = len(grid[0])
        blocks, table, maps, size = _plan_level(array, pairs)
        grid = [blocks[k : k + width] for k in range(0, len(blocks), width)]
        levels.append((table, maps))
        sizes.append(size)
        result = tuple(int(x) for x in table[-1, :5])
    return Plan(leaves=leaves, levels=tuple(levels), sizes=tuple(sizes), result=result)
