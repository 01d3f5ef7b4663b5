"""Conductances and voltages as they come from a user, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hwmodels.errors import UserError


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
