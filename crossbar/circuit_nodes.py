"""The nodes of an array's circuit by number, for methods that work on a list of branches.

Drivers are 0 … rows − 1, sinks rows … rows + cols − 1; what an ideal wire joins bears one number.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from crossbar.circuit import Circuit


def word_nodes(circuit: Circuit) -> np.ndarray:
    """Number of the node W(i, j) of every cell, int64 (rows, cols): a driver's own number 0 … rows − 1 where the wire
    to it is ideal, else rows + cols + i·cols + j; with ideal segments the whole row is one node.
    """
    rows, cols, joined = circuit.rows, circuit.cols, circuit.topology()
    i, j = np.indices((rows, cols), dtype=np.int64)
    column = np.zeros_like(j) if joined.word else j
    nodes = rows + cols + i * cols + column
    return np.where((column == 0) & joined.first & ~circuit.floating[:, None], i, nodes)


def bit_nodes(circuit: Circuit) -> np.ndarray:
    """Number of the node B(i, j) of every cell, int64 (rows, cols): a sink's own number rows + j where the wire to it
    is ideal, else behind all word nodes; with ideal segments the whole column is one node.
    """
    rows, cols, joined = circuit.rows, circuit.cols, circuit.topology()
    i, j = np.indices((rows, cols), dtype=np.int64)
    row = np.full_like(i, rows - 1) if joined.bit else i
    nodes = rows + cols + rows * cols + row * cols + j
    return np.where((row == rows - 1) & joined.last, rows + j, nodes)


def segments(circuit: Circuit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wires that have a resistance: node numbers of both ends, int64, and resistance [Ω].

    Sinks and drivers are nodes like any other here; in the order word lines row by row, then bit lines.
    """
    rows, cols = circuit.rows, circuit.cols
    word, bit = word_nodes(circuit), bit_nodes(circuit)
    tied = np.flatnonzero(~circuit.floating)
    ends = [
        (tied, word[tied, 0], np.full(tied.size, circuit.word[0])),
        (word[:, :-1].ravel(), word[:, 1:].ravel(), np.tile(circuit.word[1:], rows)),
        (bit[:-1].ravel(), bit[1:].ravel(), np.repeat(circuit.bit[:-1], cols)),
        (bit[-1], np.arange(rows, rows + cols), np.full(cols, circuit.bit[-1])),
    ]
    if isfinite(circuit.far):
        ends.append((tied, word[tied, -1], np.full(tied.size, circuit.far)))
    a, b, ohms = (np.concatenate(part) for part in zip(*ends, strict=True))
    return a[ohms > 0], b[ohms > 0], ohms[ohms > 0]
