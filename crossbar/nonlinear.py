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

from crossbar import kirchhoff
from crossbar.circuit import Circuit
from crossbar.nodal_linear import linear_solution
from crossbar.nonlinear_cells import Branches
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

    x, y: drops and rises (rows, cols) [V]; current: of the cells [A]; largest_v: the largest voltage across any [V].
    steps: of Newton's method; inner: steps of conjugate gradients in all; unknowns; converged: whether the last step
    was below the tolerance.
    """

    x: np.ndarray
    y: np.ndarray
    current: np.ndarray
    largest_v: float
    steps: int
    inner: int
    unknowns: int
    converged: bool


def newton(
    g: np.ndarray, v: np.ndarray, lines: Circuit, law: Conduction, method: str, tolerance: float, max_steps: int
) -> Newton:
    """Drops, rises and cell currents of one array for one input.

    g (rows, cols) [S] and v (rows,) [V], checked. tolerance: of the Newton decrement √(stepᵀ gradient), the energy norm
    of the step, as a share of √(power of cells and wires) at the point. A step that meets it is still taken, so the
    error left is that of the step after, which is quadratically smaller. max_steps: of Newton's method, and of
    conjugate gradients in each of its steps.
    """
    branches = Branches.of(g, law, lines.r_access)
    drive = np.broadcast_to(v[:, None], g.shape)
    x, y = np.zeros_like(g), np.zeros_like(g)
    unknowns = spent = steps = 0
    height = _height(branches, drive, x, y, lines)
    before, converged = np.inf, False
    while not converged and steps < max_steps:
        across = drive - x - y
        inner = branches.inner(across)
        current = branches.current(inner)
        at_word, at_bit = kirchhoff.imbalance(current, x, y, lines)
        loosest = min(_LOOSEST, max(before, tolerance)) if method == "cg" else tolerance
        dx, dy, more, unknowns, good = linear_solution(
            branches.slope(inner), at_word, at_bit, lines, method, loosest, max_steps
        )
        steps, spent = steps + 1, spent + more
        fall = float(np.vdot(at_word, dx) + np.vdot(at_bit, dy))  # stepᵀ H step ≥ 0
        if not (good and np.isfinite(fall)):
            break
        power = float(np.vdot(current, across)) + 2 * kirchhoff.wire_energy(x, y, lines)
        decrement = np.sqrt(max(fall, 0.0) / power) if power > 0 else 0.0
        size, height = _step_size(branches, drive, x, y, dx, dy, fall, height, lines)
        if size == 0.0:
            break
        x, y = x + size * dx, y + size * dy
        stalled = before <= _STALLED and decrement >= 0.5 * before
        converged = size == 1.0 and bool(decrement <= tolerance or stalled)
        before = decrement
    inner = branches.inner(drive - x - y)
    largest = float(np.abs(inner[g > 0]).max(initial=0.0))
    return Newton(x, y, branches.current(inner), largest, steps, spent, unknowns, converged)


def _step_size(
    branches: Branches,
    drive: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    dx: np.ndarray,
    dy: np.ndarray,
    fall: float,
    start: float,
    lines: Circuit,
) -> tuple[float, float]:
    """The first of 1, ½, ¼ … that brings the promised share of the fall of Φ from `start`, and Φ there; 0 if none."""
    for halving in range(_HALVINGS):
        size = 0.5**halving
        height = _height(branches, drive, x + size * dx, y + size * dy, lines)
        if height - start <= -_SUFFICIENT * size * fall + _ROUNDING * abs(start):
            return size, height
    return 0.0, start


def _height(branches: Branches, drive: np.ndarray, x: np.ndarray, y: np.ndarray, lines: Circuit) -> float:
    """Φ(x, y) [W]."""
    cells = branches.co_content(branches.inner(drive - x - y))
    return float(cells.sum()) + kirchhoff.wire_energy(x, y, lines)
