"""Branches from word line to bit line for `nonlinear`: a cell of any law, with its access transistor in series.

Beyond ± max_v of its law a cell goes on as a straight line, so that no trial voltage overflows; what it carries stays
smooth and rises with the voltage. Whether a solution lies out there is for the caller to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwmodels.devices import conduction
from hwmodels.devices.effects import Conduction

_MOST_ROUNDS = 200
"""Bisections alone would end after 60 or so; Newton's steps end after four or five."""


@dataclass(frozen=True)
class Branches:
    """Cells (rows, cols) under a law with a resistance in series with each.

    A branch is asked about by the voltage across its cell alone, `inner` of that across the branch.
    """

    cells: conduction.Cells
    max_v: float
    r_access: float

    @staticmethod
    def of(g: np.ndarray, law: Conduction, r_access: float) -> Branches:
        """Branches of cells g (rows, cols) [S] behind r_access [Ω]."""
        return Branches(conduction.cells(np, law, g), law.max_v, r_access)

    def inner(self, across: np.ndarray) -> np.ndarray:
        """Voltage across the cell [V] for that across its branch [V]: the root V of V + r_access · I(V) = across.

        I rises and is 0 at 0 V, so the root lies between 0 and `across`: Newton's steps, kept in that bracket.
        """
        if self.r_access == 0:
            return across
        low, high = np.minimum(across, 0.0), np.maximum(across, 0.0)
        v = across / (1 + self.r_access * self.cells.g)
        for _ in range(_MOST_ROUNDS):
            error = v + self.r_access * self.current(v) - across
            low, high = np.where(error <= 0, v, low), np.where(error >= 0, v, high)
            step = error / (1 + self.r_access * self._slope(v))
            better = v - step
            better = np.where((better < low) | (better > high), 0.5 * (low + high), better)
            moved, v = np.abs(better - v), better
            if (moved <= 4 * np.finfo(float).eps * np.abs(across)).all():
                break
        return v

    def current(self, inner: np.ndarray) -> np.ndarray:
        """Current [A]."""
        held, more = self._held(inner)
        current = self.cells.current(held)
        return current if more is None else current + self.cells.slope(held) * more

    def slope(self, inner: np.ndarray) -> np.ndarray:
        """Differential conductance of the branch [S]."""
        slope = self._slope(inner)
        return slope / (1 + self.r_access * slope)

    def co_content(self, inner: np.ndarray) -> np.ndarray:
        """∫ I dV over the voltage of the branch [W]: that of the cell, and ½ r_access I²."""
        held, more = self._held(inner)
        cell = self.cells.co_content(held)
        if more is not None:
            cell = cell + more * (self.cells.current(held) + 0.5 * self.cells.slope(held) * more)
        return cell + 0.5 * self.r_access * self.current(inner) ** 2 if self.r_access else cell

    def _slope(self, inner: np.ndarray) -> np.ndarray:
        return self.cells.slope(self._held(inner)[0])

    def _held(self, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Voltages within ± max_v, and what lies beyond; None where nothing does, which saves its work."""
        if np.abs(inner).max(initial=0.0) <= self.max_v:
            return inner, None
        held = np.clip(inner, -self.max_v, self.max_v)
        return held, inner - held
