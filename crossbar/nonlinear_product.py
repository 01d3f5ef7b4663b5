"""Bit-line currents of non-linear cells over ideal wires, for any word-line voltages: exactly one matrix product.

Over ideal wires every cell sees its word line's voltage, so a bit line carries Σᵢ I(gᵢⱼ, vᵢ), and each law is a sum of
few products of a function of g and a function of v:

    linear       I = g · v
    sinh         I = g · sinh(a v) / a
    polynomial   I = g · v + c₂(g) · v² + c₃(g) · v³

`basis_conductances` works the functions of g out once, stacked along the rows; `basis_voltages` those of v, stacked in
the same order; their matrix product is the currents. It costs what a linear array of one (linear, sinh) or three
(polynomial) times the rows costs, for any number of DAC levels. A DAC of one bit needs none of this: cells driven at
0 V or at the read voltage alone are linear cells of `hwmodels.chord_conductance(g, v_read, law)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hwmodels.devices.effects import Conduction, PolynomialConduction, SinhConduction
from hwmodels.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", "np.ndarray", "Tensor")


def basis_conductances(g: Array, law: Conduction | None) -> Array:
    """Functions of g [S] of each term, (…, rows, cols) → (…, terms · rows, cols): S, and for a polynomial A/V², A/V³.

    g: conductances at 0 V, a NumPy array or a tensor, whose precision and place the result keeps; not checked.
    """
    if not isinstance(law, PolynomialConduction):
        return g
    xp = _module(g)
    k2, k3 = law.relative(xp, g)
    return xp.concatenate([g, g * k2, g * k3], -2)


def basis_voltages(v: Array, law: Conduction | None) -> Array:
    """Functions of v [V] of each term, (…, rows) → (…, terms · rows): V, and for a polynomial V², V³; not checked."""
    xp = _module(v)
    match law:
        case None:
            return v
        case SinhConduction(a_per_v=a):
            return xp.sinh(a * v) / a
        case PolynomialConduction():
            square = v * v
            return xp.concatenate([v, square, square * v], -1)


def bit_line_currents(v: Array, g: Array, law: Conduction | None) -> Array:
    """Currents (…, batch, cols) [A] of arrays g (…, rows, cols) [S] at word-line voltages v (…, batch, rows) [V].

    NumPy arrays or tensors of one precision and place; gradients flow. Exact but for rounding: a few units in the last
    place of Σ|terms|. Raises UserError where a voltage lies beyond max_v of the law, or rows do not match.
    """
    if v.shape[-1] != g.shape[-2]:
        raise UserError(f"v has {v.shape[-1]} voltages a read for {g.shape[-2]} word lines. Give one for each.")
    if law is not None and 0 not in v.shape and not (largest := abs(v).max().item()) <= law.max_v:
        raise UserError(
            f"A word line is driven at {largest!r} V, beyond max_v = {law.max_v!r} V, up to where this I–V is known. "
            "Lower the voltage, or give a law that is measured further."
        )
    return basis_voltages(v, law) @ basis_conductances(g, law)


def _module(x: Any) -> Any:
    """NumPy or torch, whichever x is of."""
    if isinstance(x, np.ndarray):
        return np
    import torch

    assert isinstance(x, torch.Tensor)
    return torch
