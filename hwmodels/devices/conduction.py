"""How the current of a cell depends on the voltage across it, and how far a linear cell is from that.

G, the programmed conductance, is the slope at 0 V; a law (`SinhConduction`, `PolynomialConduction`, or None for a
linear cell) gives the rest. One set of formulas serves NumPy and torch: `xp` below is either module, and the arrays
are its own. The functions without `xp` are NumPy's, with checks; `torch_twins` has them for tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hwmodels.devices.effects import Conduction, PolynomialConduction, SinhConduction
from hwmodels.errors import UserError

_SERIES = (6.0, 20.0, 42.0, 72.0, 110.0, 156.0)
"""sinh(x)/x − 1 = x²/6 · (1 + x²/20 · (1 + x²/42 · (…))): 2k (2k + 1) for k = 1, 2, …; below |x| = 0.5 to 1e-15."""


@dataclass(frozen=True)
class Cells:
    """Cells of given conductances under one law, ready for many voltages; the arrays broadcast.

    g: conductances at 0 V [S]; relative: c₂/G [1/V] and c₃/G [1/V²] of a polynomial law. Voltages are not checked.
    """

    xp: Any
    law: Conduction | None
    g: Any
    relative: tuple[Any, Any] | None

    def current(self, v: Any) -> Any:
        """I(V) [A]."""
        match self.law:
            case None:
                return self.g * v
            case SinhConduction(a_per_v=a):
                return self.g * self.xp.sinh(a * v) / a
            case PolynomialConduction():
                k2, k3 = self._relative
                return self.g * v * (1.0 + v * (k2 + v * k3))

    def slope(self, v: Any) -> Any:
        """dI/dV, the differential conductance [S]."""
        match self.law:
            case None:
                return self.g + 0.0 * v
            case SinhConduction(a_per_v=a):
                return self.g * self.xp.cosh(a * v)
            case PolynomialConduction():
                k2, k3 = self._relative
                return self.g * (1.0 + v * (2.0 * k2 + 3.0 * k3 * v))

    def co_content(self, v: Any) -> Any:
        """∫ I dV from 0 to V [W]: convex in V, as I rises."""
        match self.law:
            case None:
                return 0.5 * self.g * v * v
            case SinhConduction(a_per_v=a):
                return 2.0 * self.g * (self.xp.sinh(0.5 * a * v) / a) ** 2
            case PolynomialConduction():
                k2, k3 = self._relative
                return self.g * v * v * (0.5 + v * (k2 / 3.0 + v * k3 / 4.0))

    def excess(self, v: Any) -> Any:
        """I(V) / (G V) − 1: how much more a cell carries than a linear one; 0 at 0 V, right to 1e-14 near it."""
        match self.law:
            case None:
                return 0.0 * (self.g + v)
            case SinhConduction(a_per_v=a):
                return _sinhc_less_one(self.xp, a * v) + 0.0 * self.g
            case PolynomialConduction():
                k2, k3 = self._relative
                return v * (k2 + v * k3)

    @property
    def _relative(self) -> tuple[Any, Any]:
        assert self.relative is not None
        return self.relative


def cells(xp: Any, law: Conduction | None, g: Any) -> Cells:
    """Cells of conductances g [S] under a law."""
    return Cells(xp, law, g, law.relative(xp, g) if isinstance(law, PolynomialConduction) else None)


def cell_current(g: ArrayLike, v: ArrayLike, conduction: Conduction | None) -> np.ndarray:
    """Currents of cells: float64 [A], of the shape that g and v broadcast to.

    g: conductances at 0 V [S], finite and ≥ 0; v: voltages across the cells [V], at most `max_v` of the law;
    conduction: `device.conduction`, None for linear cells. Raises UserError for anything else.
    """
    prepared, volts = _checked(g, v, conduction)
    return prepared.current(volts)


def differential_conductance(g: ArrayLike, v: ArrayLike, conduction: Conduction | None) -> np.ndarray:
    """dI/dV of cells: float64 [S], of the shape that g and v broadcast to; arguments and errors of `cell_current`."""
    prepared, volts = _checked(g, v, conduction)
    return prepared.slope(volts)


def chord_conductance(g: ArrayLike, v: ArrayLike, conduction: Conduction | None) -> np.ndarray:
    """I(V)/V of cells: float64 [S], of the shape that g and v broadcast to; g itself at 0 V.

    The linear cell that carries the same current at the same voltage. Word lines that are driven at 0 V or at the read
    voltage alone, bit by bit and over ideal wires, cannot tell the two apart. Arguments and errors of `cell_current`.
    """
    prepared, volts = _checked(g, v, conduction)
    return prepared.g * (1.0 + prepared.excess(volts))


def conductance_from_chord(chord: ArrayLike, v: float, conduction: Conduction | None) -> np.ndarray:
    """Conductances at 0 V of cells that read as `chord` = I(V)/V at v: float64 [S], of the shape of chord.

    The inverse of `chord_conductance`: a cell that is verified by reads at v stands at its target as a chord. Right to
    1e-12 of itself; a polynomial by bisection, as a chord rises with G and lies within a known factor of it. Raises
    UserError for what is no conductance or beyond max_v, and where a law gives two states one chord at v.
    """
    prepared, volts = _checked(chord, v, conduction)
    if volts.ndim:
        raise UserError(f"v is the one voltage that the cells are read at, not an array of shape {volts.shape}.")
    if not isinstance(conduction, PolynomialConduction):
        return prepared.g / (1.0 + prepared.excess(volts))
    states = np.geomspace(conduction.g_low_s, conduction.g_high_s, 1001)
    factor = 1.0 + cells(np, conduction, states).excess(volts)
    falls = np.flatnonzero(np.diff(states * factor) <= 0)
    if falls.size:
        raise UserError(
            f"At {float(volts)!r} V the chord conductance falls where G rises, near {states[falls[0]]:.3g} S: no read "
            "there can tell these states apart. Read at a lower voltage."
        )
    low, high = prepared.g / factor.max() * (1 - 1e-6), prepared.g / factor.min() * (1 + 1e-6)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = middle * (1.0 + cells(np, conduction, middle).excess(volts)) > prepared.g
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)


def linear_model_error(g: ArrayLike, v: ArrayLike, conduction: Conduction | None) -> np.ndarray:
    """What a linear cell of conductance g lacks: I(V)/(G V) − 1, float64, of the shape that g and v broadcast to.

    sinh: sinh(aV)/(aV) − 1, about (aV)²/6; polynomial: (c₂/G) V + (c₃/G) V². Arguments and errors of `cell_current`.
    """
    prepared, volts = _checked(g, v, conduction)
    return prepared.excess(volts)


def _sinhc_less_one(xp: Any, x: Any) -> Any:
    """sinh(x)/x − 1 without cancellation near 0."""
    square, series = x * x, 1.0
    for factor in reversed(_SERIES[1:]):
        series = 1.0 + square / factor * series
    small = abs(x) < 0.5
    safe = xp.where(small, 1.0, x)
    return xp.where(small, square / _SERIES[0] * series, xp.sinh(safe) / safe - 1.0)


def _checked(g: ArrayLike, v: ArrayLike, law: Conduction | None) -> tuple[Cells, np.ndarray]:
    """Cells and voltages [V], or a UserError that names the first number that cannot be."""
    try:
        siemens, volts = np.asarray(g, dtype=np.float64), np.asarray(v, dtype=np.float64)
        np.broadcast_shapes(siemens.shape, volts.shape)
    except (TypeError, ValueError) as error:
        raise UserError(f"g [S] and v [V] are numbers whose shapes fit together: {error}.") from None
    for values, good, what in (
        (siemens, np.isfinite(siemens) & (siemens >= 0), "S is no conductance: it is finite and at least 0"),
        (volts, np.isfinite(volts), "V is no voltage"),
    ):
        if not good.all():
            raise UserError(f"{float(values[~good].flat[0])!r} {what}.")
    if law is not None and volts.size and np.abs(volts).max() > law.max_v:
        worst = float(volts.flat[int(np.abs(volts).argmax())])
        raise UserError(
            f"v = {worst!r} V lies beyond max_v = {law.max_v!r} V, up to where this I–V is known. Lower the voltage, "
            "or give a law that is measured further."
        )
    return cells(np, law, siemens), volts
