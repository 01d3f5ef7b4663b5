"""In which order the nodes inside a leaf, a rectangle of a few cells, are eliminated.

A leaf owns the wire segment left of each of its cells and the one below each; at the right edge of the array also the
one to the second driver, where there is one. Its program depends on its size, on the edges of the array that it
touches and on which wires are ideal, not on conductances.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crossbar.circuit import Topology

FIRST, WORD, BIT, FAR = range(4)
"""Kinds of wire segment: driver to row, within a row, after a cell of a column, end of a row to its second driver."""

Label = tuple[str, int, int]
"""A node of a leaf: ("D" driver | "W" word node | "B" bit node | "S" sink, row, column), both within the leaf."""


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

    slots: conductances held at the same time. cells: slot of each cell, row by row. wires (n, 3): slot, kind, column
    or row in the leaf; two wires between the same nodes share a slot. code: per eliminated node the count d of its
    neighbours, the d slots to them, then for every pair of neighbours the slot that gains (~slot where it holds nothing
    yet). ports: the nodes left: word nodes, bit nodes, sinks, drivers. left (n, 3): slot and the two ports that it
    joins, the first before the second.
    """

    slots: int
    cells: np.ndarray
    wires: np.ndarray
    code: np.ndarray
    ports: tuple[Label, ...]
    left: np.ndarray


class _Leaf:
    """Nodes and wires of a leaf of `height` × `width` cells."""

    def __init__(self, height: int, width: int, edges: Edges, joined: Topology) -> None:
        self.height, self.width, self.edges, self.joined = height, width, edges, joined

    def word(self, row: int, column: int) -> Label:
        """The word node of a cell; column −1 is the node that the leaf's first segment comes from."""
        if column < 0 and self.edges.left:
            return ("D", row, 0)
        column = 0 if self.joined.word else column
        if self.joined.first and (self.joined.word or (self.edges.left and column == 0)):
            return ("D", row, 0)
        return ("W", row, column)

    def bit(self, row: int, column: int) -> Label:
        """The bit node of a cell; row `height` is the node that the leaf's last segment leads to."""
        if row == self.height and self.edges.bottom:
            return ("S", 0, column)
        at_end = self.joined.bit or (self.edges.bottom and row == self.height - 1)
        if self.joined.last and at_end:
            return ("S", 0, column)
        return ("B", 0 if self.joined.bit else row, column)

    def inside(self, node: Label) -> bool:
        """Whether nothing outside the leaf touches the node."""
        kind, row, column = node
        edges = self.edges
        if kind == "W":
            if self.joined.word:
                return edges.left and edges.right
            return column >= 0 and (column + 1 < self.width or edges.right)
        if kind == "B":
            if self.joined.bit:
                return edges.top and edges.bottom
            return row < self.height and (row > 0 or edges.top)
        return False

    def wires(self) -> list[tuple[Label, Label, int, int]]:
        """The segments that have a resistance: both nodes, the kind, and the column or row that it belongs to."""
        cells = [(row, column) for row in range(self.height) for column in range(self.width)]
        found: list[tuple[Label, Label, int, int]] = []
        for row, column in cells:
            kind, place = (FIRST, row) if self.edges.left and column == 0 else (WORD, column)
            found.append((self.word(row, column - 1), self.word(row, column), kind, place))
            found.append((self.bit(row, column), self.bit(row + 1, column), BIT, row))
        if self.joined.far and self.edges.right:
            rows = range(self.height)
            found += [(("D", row, 0), self.word(row, self.width - 1), FAR, row) for row in rows]
        return [segment for segment in found if segment[0] != segment[1]]


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
def leaf_program(height: int, width: int, edges: Edges, joined: Topology) -> Program:
    """The elimination of a leaf, the node with the fewest neighbours first."""
    leaf, slots = _Leaf(height, width, edges, joined), _Slots()
    cells = [slots.join(leaf.word(i, j), leaf.bit(i, j))[0] for i in range(height) for j in range(width)]
    wires = [(slots.join(a, b)[0], kind, place) for a, b, kind, place in leaf.wires()]
    inside = {node for node in slots.of if leaf.inside(node)}
    code: list[int] = []
    while inside:
        node = min(inside, key=lambda n: (len(slots.of[n]), n))
        inside.remove(node)
        code += slots.eliminate(node)
    ports = sorted(slots.of, key=lambda n: ("WBSD".index(n[0]), n))
    place = {node: i for i, node in enumerate(ports)}
    left = [(slot, place[a], place[b]) for a in ports for b, slot in slots.of[a].items() if place[a] < place[b]]
    return Program(
        slots=slots.count,
        cells=np.array(cells, np.int64),
        wires=np.array(wires, np.int64).reshape(-1, 3),
        code=np.array(code, np.int64),
        ports=tuple(ports),
        left=np.array(left, np.int64).reshape(-1, 3),
    )
