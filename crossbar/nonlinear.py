"""Arrays of non-linear cells with wires, solved together to convergence.

In the drops x = v − V_word and the rises y = V_bit of `nodal`, the circuit is the lowest point of its co-content

    Φ(x, y) = ½ xᵀ L_word x + ½ yᵀ L_bit y + Σ Ψ(v − x − y),        Ψ(d) = ∫ I dV from 0 to d

(Millar, Phil. Mag. 42, 1951), whose gradient is Kirchhoff's law. A current that rises with the voltage makes Φ convex,
so there is one solution, and Newton's method with a line search on Φ finds it from anywhere. Each step is a linear
array with the differential conductances dI/dV for cells, solved as in `nodal`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossbar import kirchhoff, nodal
from crossbar.circuit import Wires
from hwmodels.devices import conduction
from hwmodels.devices.effects import Conduction

_SUFFICIENT = 1e-4
"""Share of the promised fall of Φ that a step must bring (Armijo; Nocedal & Wright, 2nd ed., §3.1)."""

_HALVINGS = 60
"""Halvings of a step before it counts as none at all."""

_ROUNDING = 1e-14
"""A change of Φ below this share of it is rounding: the step is then taken as it is."""

_LOOSEST = 1e-2
"""Largest relative tolerance of a linear system inside Newton's method, at its first steps."""

_STALLED = 1e-9
"""A decrement below this that no longer falls has reached the rounding of the currents."""


@dataclass(frozen=True)
class Newton:
    """Where Newton's method ended, for one input.

    x, y: drops and rises (rows, cols) [V]; current: of the cells [A]. steps: of Newton's method; inner: steps of
    conjugate gradients in all; unknowns; converged: whether the last step was below the tolerance.
    """

    x: np.ndarray
    y: np.ndarray
    current: np.ndarray
    steps: int
    inner: int
    unknowns: int
    converged: bool


def newton(
    g: np.ndarray, v: np.ndarray, wires: Wires, law: Conduction, method: str, tolerance: float, max_steps: int
) -> Newton:
    """Drops, rises and cell currents of one array for one input.

    g (rows, cols) [S] and v (rows,) [V], checked. tolerance: of the Newton decrement √(stepᵀ gradient), the energy norm
    of the step, as a share of that of the driven cells √(Σ I(v) v). A step that meets it is still taken, so the error
    left is that of the step after, which is quadratically smaller. max_steps: of Newton's method, and of conjugate
    gradients in each of its steps.
    Beyond ± max_v of the law a cell is continued as a straight line, so that no trial step overflows.
    """
    cells = _Continued(conduction.cells(np, law, g), law.max_v)
    drive = np.broadcast_to(v[:, None], g.shape)
    x, y = np.zeros_like(g), np.zeros_like(g)
    scale = float((cells.current(drive) * drive).sum())
    unknowns = inner = 0
    before = np.inf
    for step in range(1, max_steps + 1):
        across = drive - x - y
        current = cells.current(across)
        at_word, at_bit = kirchhoff.imbalance(current, x, y, wires)
        loosest = min(_LOOSEST, max(before, tolerance)) if method == "cg" else tolerance
        dx, dy, spent, unknowns, good = nodal.linear_solution(
            cells.slope(across), at_word, at_bit, wires, method, loosest, max_steps
        )
        inner += spent
        fall = float(np.vdot(at_word, dx) + np.vdot(at_bit, dy))  # stepᵀ H step ≥ 0
        decrement = np.sqrt(max(fall, 0.0) / scale) if scale > 0 else 0.0
        if not (good and np.isfinite(fall)):
            break
        size = _step_size(cells, drive, x, y, dx, dy, fall, wires)
        x, y = x + size * dx, y + size * dy
        stalled = before <= _STALLED and decrement >= 0.5 * before
        if size == 1.0 and (decrement <= tolerance or stalled):
            return Newton(x, y, cells.current(drive - x - y), step, inner, unknowns, True)
        before = decrement
    return Newton(x, y, cells.current(drive - x - y), max_steps, inner, unknowns, False)


@dataclass(frozen=True)
class _Continued:
    """Cells of a law that go on as a straight line beyond ± max_v: smooth, and as convex as they were."""

    cells: conduction.Cells
    max_v: float

    def current(self, v: np.ndarray) -> np.ndarray:
        held = np.clip(v, -self.max_v, self.max_v)
        return self.cells.current(held) + self.cells.slope(held) * (v - held)

    def slope(self, v: np.ndarray) -> np.ndarray:
        return self.cells.slope(np.clip(v, -self.max_v, self.max_v))

    def co_content(self, v: np.ndarray) -> np.ndarray:
        held = np.clip(v, -self.max_v, self.max_v)
        more = v - held
        return self.cells.co_content(held) + more * (self.cells.current(held) + 0.5 * self.cells.slope(held) * more)


def _step_size(
    cells: _Continued,
    drive: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    dx: np.ndarray,
    dy: np.ndarray,
    fall: float,
    wires: Wires,
) -> float:
    """The first of 1, ½, ¼ … that brings the promised share of the fall of Φ; 0 where none does."""

    def value(size: float) -> float:
        a, b = x + size * dx, y + size * dy
        return float(cells.co_content(drive - a - b).sum()) + kirchhoff.wire_energy(a, b, wires)

    start = value(0.0)
    for halving in range(_HALVINGS):
        size = 0.5**halving
        if value(size) - start <= -_SUFFICIENT * size * fall + _ROUNDING * abs(start):
            return size
    return 0.0
