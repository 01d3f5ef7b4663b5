"""The circuit of one array with its wires: which nodes there are, and which of them are one.

    driver i ─ r_source ─ r_word ─ W(i,0) ─ r_word ─ W(i,1) ─ …          word line i, driven at column 0
                                     │ g(i,0)          │ g(i,1)
                                   B(i,0)            B(i,1)
                                     │ r_bit           │ r_bit
                                   B(i+1,0)          B(i+1,1)
                                     ⋮                 ⋮
                                   r_bit ─ r_sink ─ sink j               read-out at virtual ground, below the last row

A wire of 0 Ω joins its two nodes into one, so an ideal wire is exact and no tiny number stands in for it. Every word
node leads to its driver and every bit node to its sink over finite resistances, so no part of the circuit can float,
however many cells are open.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from hwmodels.errors import UserError

_SHORT_OHM = 1e-100
"""Below this a wire counts as ideal: its conductance would soon leave the range of a float."""


@dataclass(frozen=True)
class Wires:
    """Resistances of the wires [Ω], each finite and ≥ 0: a segment before every cell of a word line, a segment after
    every cell of a bit line, and what lies in series at the driver and at the read-out.
    """

    r_word: float
    r_bit: float
    r_source: float = 0.0
    r_sink: float = 0.0

    def __post_init__(self) -> None:
        for name in ("r_word", "r_bit", "r_source", "r_sink"):
            value = getattr(self, name)
            if np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "fiu":
                raise UserError(f"{name} = {value!r} is not a number. Give one resistance in ohms for the whole array.")
            value = float(value)
            if not (isfinite(value) and value >= 0):
                way_out = "Give a finite resistance of at least 0 Ω; 0 is an ideal wire"
                raise UserError(f"{name} = {value!r} Ω is no wire resistance. {way_out}.")
            object.__setattr__(self, name, value if value > _SHORT_OHM else 0.0)

    @property
    def r_first(self) -> float:
        """From a driver to the first word node of its row [Ω]."""
        return self.r_source + self.r_word

    @property
    def r_last(self) -> float:
        """From the last bit node of a column to its sink [Ω]."""
        return self.r_bit + self.r_sink

    @property
    def ideal(self) -> bool:
        """Whether no wire has any resistance."""
        return self.r_first == 0 and self.r_last == 0

    def shorts(self) -> tuple[bool, bool, bool, bool]:
        """Which wires join their nodes: (word segments, bit segments, driver to row, column to sink)."""
        return self.r_word == 0, self.r_bit == 0, self.r_first == 0, self.r_last == 0


def checked_conductances(g: ArrayLike, dimensions: int | None = None) -> np.ndarray:
    """g as float64 (…, rows, cols) [S], or a UserError that names the first cell that cannot be one.

    dimensions: how many axes it must have; None: at least two.
    """
    try:
        g = np.asarray(g, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"g cannot be read as numbers: {error}. Give conductances in siemens.") from None
    wanted = "(rows, cols)" if dimensions == 2 else "(…, rows, cols)"
    if (g.ndim < 2 if dimensions is None else g.ndim != dimensions) or 0 in g.shape[-2:]:
        raise UserError(f"g has shape {g.shape}. Give conductances of shape {wanted} with at least one cell.")
    bad = ~(np.isfinite(g) & (g >= 0))
    if bad.any():
        cell = tuple(int(i) for i in np.argwhere(bad)[0])
        way_out = "Conductances are finite and at least 0 S; 0 is an open crossing"
        raise UserError(f"g{list(cell)} = {g[cell]} S is no conductance. {way_out}.")
    return g


def checked_voltages(v: ArrayLike, rows: int) -> np.ndarray:
    """v as float64 (batch, rows) [V], a single vector as a batch of one, or a UserError."""
    try:
        v = np.asarray(v, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"v cannot be read as numbers: {error}. Give driver voltages in volts.") from None
    if v.ndim not in (1, 2) or v.shape[-1] != rows:
        raise UserError(f"v has shape {v.shape} for {rows} word lines. Give shape ({rows},) or (batch, {rows}).")
    if not np.isfinite(v).all():
        entry = tuple(int(i) for i in np.argwhere(~np.isfinite(v))[0])
        raise UserError(f"v{list(entry)} = {v[entry]} V is no voltage. Replace it by a finite number.")
    return np.atleast_2d(v)


def word_nodes(rows: int, cols: int, wires: Wires) -> np.ndarray:
    """Number of the node W(i, j) of every cell, int64 (rows, cols): a driver's own number 0 … rows − 1 where the wire
    to it is ideal, else rows + cols + i·cols + j; with ideal segments the whole row is one node.
    """
    i, j = np.indices((rows, cols), dtype=np.int64)
    joined = np.zeros_like(j) if wires.r_word == 0 else j
    nodes = rows + cols + i * cols + joined
    return np.where((joined == 0) & (wires.r_first == 0), i, nodes)


def bit_nodes(rows: int, cols: int, wires: Wires) -> np.ndarray:
    """Number of the node B(i, j) of every cell, int64 (rows, cols): a sink's own number rows + j where the wire to it
    is ideal, else behind all word nodes; with ideal segments the whole column is one node.
    """
    i, j = np.indices((rows, cols), dtype=np.int64)
    joined = np.full_like(i, rows - 1) if wires.r_bit == 0 else i
    nodes = rows + cols + rows * cols + joined * cols + j
    return np.where((joined == rows - 1) & (wires.r_last == 0), rows + j, nodes)


def segments(rows: int, cols: int, wires: Wires) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wires that have a resistance: node numbers of both ends, int64, and resistance [Ω].

    Sinks and drivers are nodes like any other here; in the order word lines row by row, then bit lines.
    """
    word, bit = word_nodes(rows, cols, wires), bit_nodes(rows, cols, wires)
    ends = [
        (np.arange(rows), word[:, 0], wires.r_first),
        (word[:, :-1].ravel(), word[:, 1:].ravel(), wires.r_word),
        (bit[:-1].ravel(), bit[1:].ravel(), wires.r_bit),
        (bit[-1], np.arange(rows, rows + cols), wires.r_last),
    ]
    live = [(a, b, np.full(a.size, r)) for a, b, r in ends if r > 0 and a.size]
    if not live:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    a, b, ohms = zip(*live, strict=True)
    return np.concatenate(a), np.concatenate(b), np.concatenate(ohms)
