"""The circuit of one array with its wires.

    driver i ─ r_source ─ r_word ─ W(i,0) ─ r_word ─ W(i,1) ─ … ─ r_word ─ r_far_source ─ driver i (optional)
                                     │ g(i,0)          │ g(i,1)
                                     │ r_access        │ r_access
                                   B(i,0)            B(i,1)
                                     │ r_bit           │ r_bit
                                   B(i+1,0)          B(i+1,1)
                                     ⋮                 ⋮
                                   r_bit ─ r_sink ─ sink j               read-out at virtual ground, below the last row

Word lines are driven at one end or at both, and each may be driven, held at 0 V, floating, or shut off by the access
transistors of its cells. A wire of 0 Ω joins its two nodes into one (`circuit_nodes`), so an ideal wire is exact and no
tiny number stands in for it. Every bit node leads to its sink over finite resistances and every word node to its
driver, or, on a floating word line, to a bit line through a cell: nothing can float but a floating word line whose
cells are all open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Strict
from pydantic.dataclasses import dataclass as checked_dataclass

from hwmodels.errors import UserError
from hwmodels.quantities import NonNegative

_SHORT_OHM = 1e-100
"""Below this a wire counts as ideal: its conductance would soon leave the range of a float."""

Undriven = Literal["grounded", "floating", "off"]


def _flags(value: Any) -> Any:
    """A mask as a tuple, so that it can be compared and hashed; anything else is left to the check of the type."""
    return (
        tuple(value.tolist()) if isinstance(value, np.ndarray) else tuple(value) if isinstance(value, list) else value
    )


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Wiring:
    """How word lines are driven and cells are reached, beside the resistances of the wires.

    r_access_ohm: resistance in series with every cell [Ω] (1T1R: the access transistor, on): a cell g conducts
        g / (1 + g · r_access_ohm), exactly.
    r_far_source_ohm: a second driver of the same voltage stands behind the last cell of every word line, behind one
        more wire segment and this resistance [Ω]; None: word lines are driven at column 0 only.
    driven: for every word line whether its driver applies an input; None: all do.
    undriven: what the others do. "grounded": their drivers hold 0 V. "floating": they are connected to no driver, at
        neither end, and take the voltage that their cells give them. "off": the access transistors of their cells
        are off, the cells do not conduct.
    """

    r_access_ohm: NonNegative = 0.0
    r_far_source_ohm: NonNegative | None = None
    driven: Annotated[tuple[Annotated[bool, Strict()], ...] | None, BeforeValidator(_flags)] = None
    undriven: Undriven = "grounded"


PLAIN = Wiring()
"""Driven at column 0, all word lines, cells without access transistors (1R)."""


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


@dataclass(frozen=True)
class Topology:
    """Which wires are ideal (segments of the word lines, of the bit lines, driver to row, column to sink), and whether
    a second driver stands at the far end of the word lines.
    """

    word: bool
    bit: bool
    first: bool
    last: bool
    far: bool = False


@dataclass(frozen=True, eq=False)
class Circuit:
    """The wires of one array, segment by segment, and what each word line does.

    word (cols,): resistance of what lies before every cell of a word line, the first leading from the driver [Ω];
    bit (rows,): of what lies after every cell of a bit line, the last leading to the sink [Ω]; far: from the last cell
    of a word line to its second driver [Ω], infinite where there is none. driven, floating (rows,): masks of word
    lines; the rest is held at 0 V. r_access: in series with every cell [Ω]; off: whether undriven rows are cut off.
    """

    word: np.ndarray
    bit: np.ndarray
    far: float
    driven: np.ndarray
    floating: np.ndarray
    r_access: float
    off: bool

    @property
    def rows(self) -> int:
        """Number of word lines."""
        return self.bit.size

    @property
    def cols(self) -> int:
        """Number of bit lines."""
        return self.word.size

    @property
    def ideal(self) -> bool:
        """Whether no wire has any resistance."""
        return not self.word.any() and not self.bit.any()

    def topology(self) -> Topology:
        """Which wires join their nodes, and whether there are second drivers."""
        first, last = self.word[0] == 0, self.bit[-1] == 0
        # One cell alone has no segment between cells: whether they would be ideal does not matter.
        word, bit = not self.word[1:].any(), not self.bit[:-1].any()
        return Topology(word=word, bit=bit, first=bool(first), last=bool(last), far=isfinite(self.far))

    def cells(self, g: np.ndarray) -> np.ndarray:
        """What cells g (…, rows, cols) [S] conduct behind their access transistors, as a new array [S]."""
        return self.live(g / (1 + g * self.r_access) if self.r_access else g)

    def live(self, g: np.ndarray) -> np.ndarray:
        """Cells g (…, rows, cols) [S] without those that are shut off, as a new array [S]."""
        g = g.copy()
        if self.off:
            g[..., ~self.driven, :] = 0.0
        return g

    def inputs(self, v: np.ndarray) -> np.ndarray:
        """Voltages (batch, rows) [V] of the drivers: 0 V where a word line is not driven."""
        return v if self.driven.all() else np.where(self.driven, v, 0.0)

    def isolated(self, g: np.ndarray) -> np.ndarray:
        """Word lines (rows,) that lead nowhere: floating, and each of their cells g (rows, cols) open."""
        return self.floating & ~g.any(axis=1)

    def settled(self, g: np.ndarray) -> Circuit:
        """The same with isolated word lines tied to their drivers: nothing flows there either way."""
        return replace(self, floating=self.floating & ~self.isolated(g))

    def cut(self, rows: np.ndarray, cols: np.ndarray) -> Circuit:
        """The circuit of some rows and columns alone, ascending; the wires of the others stay in series."""
        end = cols[-1] + 1
        return replace(
            self,
            word=np.add.reduceat(self.word[:end], np.concatenate([[0], cols[:-1] + 1])),
            bit=np.add.reduceat(self.bit, rows),
            far=self.far + float(self.word[end:].sum()),
            driven=self.driven[rows],
            floating=self.floating[rows],
        )


def circuit(rows: int, cols: int, wires: Wires, wiring: Wiring = PLAIN) -> Circuit:
    """The circuit of rows × cols cells. Raises UserError where `driven` has another length than rows."""
    driven = np.ones(rows, bool) if wiring.driven is None else np.array(wiring.driven, bool)
    if driven.size != rows:
        raise UserError(f"driven has {driven.size} entries for {rows} word lines. Give one for each.")
    word, bit = np.full(cols, wires.r_word), np.full(rows, wires.r_bit)
    word[0] += wires.r_source
    bit[-1] += wires.r_sink
    far = np.inf
    if wiring.r_far_source_ohm is not None:
        far = wires.r_word + wiring.r_far_source_ohm
        if wires.r_word == 0:  # the word line is one node: its two drivers are in parallel
            word[0] = 1 / (1 / word[0] + 1 / far) if word[0] > _SHORT_OHM and far > _SHORT_OHM else 0.0
            far = np.inf
    return Circuit(
        word=word,
        bit=bit,
        far=far,
        driven=driven,
        floating=~driven if wiring.undriven == "floating" else np.zeros(rows, bool),
        r_access=wiring.r_access_ohm,
        off=wiring.undriven == "off" and not bool(driven.all()),
    )
