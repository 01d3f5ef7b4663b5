"""Crossbars with wires against closed forms, and against ngspice where it is installed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from crossbar import effective_conductance, run_netlist, solve, write_netlist
from experiments.diagnosis.checks import Case, Found, Skip, at_most, close

EXACT = 1e-12
"""Relative deviation that rounding may leave."""
COLUMNS = 12


def cases() -> list[Case]:
    """One cell in series, a ladder of one word line, ideal wires, mirror symmetry, and a circuit simulator."""
    return [
        Case("one cell: a series circuit", _series),
        Case(f"one word line of {COLUMNS} equal cells: hyperbolic cosines", _ladder),
        Case(f"one word line of {COLUMNS} unlike cells: a continued fraction", _fraction),
        Case("ideal wires leave the conductances as they are", _ideal),
        Case("equal wires both ways: the array is its mirror image", _mirror),
        Case("ngspice on a 6 × 5 array", _ngspice),
    ]


def _series() -> Found:
    g, word, bit, source, sink = 2e-4, 3.0, 5.0, 40.0, 70.0
    found = effective_conductance(np.array([[g]]), word, bit, source, sink)
    return close(float(found[0, 0]), 1 / (1 / g + word + bit + source + sink), EXACT, "S")


def _ladder() -> Found:
    """v_j = cosh((N + ½ − j)·θ) / cosh((N + ½)·θ) at column j = 1 … N, with 2·cosh θ = 2 + r·g of one segment."""
    g, word = 5e-4, 9.0
    found = effective_conductance(np.full((1, COLUMNS), g), word, 0.0)[0]
    theta = np.arccosh(1 + word * g / 2)
    j = np.arange(1, COLUMNS + 1)
    expected = g * np.cosh((COLUMNS + 0.5 - j) * theta) / np.cosh((COLUMNS + 0.5) * theta)
    return _agree(found, expected)


def _fraction() -> Found:
    """Input conductances from the far end, Y_j = y_j + 1 / (r + 1 / Y_{j+1}): the voltage divides along them."""
    rng = np.random.default_rng(1)
    g, word, bit, source, sink = 10 ** rng.uniform(-6, -3, COLUMNS), 7.0, 11.0, 130.0, 90.0
    branch = 1 / (1 / g + bit + sink)
    seen = branch.copy()
    for j in range(COLUMNS - 2, -1, -1):
        seen[j] += 1 / (word + 1 / seen[j + 1])
    voltage, expected = 1.0, np.empty(COLUMNS)
    for j in range(COLUMNS):
        series = word + (source if j == 0 else 0.0)
        voltage /= 1 + series * seen[j]
        expected[j] = voltage * branch[j]
    return _agree(effective_conductance(g[None], word, bit, source, sink)[0], expected)


def _ideal() -> Found:
    g = 10 ** np.random.default_rng(2).uniform(-7, -3, (17, 9))
    return at_most(float(np.abs(effective_conductance(g, 0.0, 0.0) - g).max()), 0.0, "S")


def _mirror() -> Found:
    g = effective_conductance(np.full((20, 20), 3e-4), 4.0, 4.0, 25.0, 25.0)
    return _agree(g, g[::-1, ::-1].T)


def _ngspice() -> Found:
    if shutil.which("ngspice") is None:
        raise Skip("ngspice is not installed; nothing needs it but netlist checks (Debian: apt-get install ngspice)")
    rng = np.random.default_rng(3)
    g, v = 10 ** rng.uniform(-6, -3, (6, 5)), rng.uniform(0, 0.3, (2, 6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "array.cir"
        write_netlist(path, g, v, 3.0, 5.0)
        currents = run_netlist(path, 5)
    return _agree(solve(g, v, 3.0, 5.0).currents, currents, 1e-7)


def _agree(found: np.ndarray, expected: np.ndarray, limit: float = EXACT) -> Found:
    deviation = float((np.abs(found - expected) / np.abs(expected)).max())
    return at_most(deviation, limit, "relative deviation")
